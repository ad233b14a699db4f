// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "net/address.hpp"

namespace mediaproxy::protocol
{

/// How our own roles recognise each other on a link, where MediaProxy 4.x hears nothing that it
/// minds: the relay begins with the line `hello JSON` (a 4.x dispatcher logs and ignores it); a
/// dispatcher of ours answers with the request `hello SEQ`, headers `name` and `version`, which the
/// relay answers with the same JSON. (A `sessions` that was asked before is answered `[]` then: the
/// relay waits a moment with the list, which would tell a 4.x dispatcher all.) After that:
/// - sessions belong to the dispatcher's name, not to the connection, and every report in the
///   answer to `sessions` says its `owner`;
/// - `sessions` with the headers `after` and `most` is answered by a page,
///   `{"sessions": [...], "next": N}`; N = 0: that was the last one;
/// - an `expired` is sent again over the next connection until the request `acknowledge SEQ` with
///   the header `record_id` came (answered `acknowledged`).
/// When the relay has the feature `keep-removed`, and the request `hello` names it in its header
/// `features` (names joined by commas):
/// - the relay keeps what it answered to a `remove` like an `expired`, when the session has a
///   start_time, until its record_id is acknowledged. Over the next connection it comes as an
///   `expired` with `"timed_out": false`: the proxy ended the call, and has no dialog to end;
/// - so does, with `"lost": true`, the report of an answered session that a killed relay had;
/// - `record_id` in an `acknowledge` may be several, with a blank between them;
/// - `letters SEQ` is answered by the number of reports that the relay has for this dispatcher and
///   has not sent over this connection yet. 0: of every session that ended before this answer all
///   was said before this answer; so what is missing in the list of sessions is lost.
/// The record_id of a session is the same in its answer to `remove`, in `expired` and in
/// `sessions`.
/// The `instance` tells a relay that has come back from another one that has the same name, the
/// `run` from one that was cloned together with its store: a run that was over never comes again.
struct Hello {
    std::string name; ///< of the relay
    std::string version;
    std::string instance; ///< kept over restarts as far as the relay's store is; may be empty
    std::string run;      ///< another one after each start; may be empty
    std::vector<net::Address> addresses; ///< that media is bound to or advertised as
    std::vector<net::Family> families;   ///< served; as the numbers 4 and 6
    std::vector<std::string> features;
};

/// What this relay can do, for Hello::features.
inline constexpr std::string_view feature_pages = "sessions-pages";
inline constexpr std::string_view feature_acknowledge = "acknowledge";
inline constexpr std::string_view feature_owners = "owners";
inline constexpr std::string_view feature_keep = "keep-removed";

inline constexpr std::string_view hello_word = "hello";
inline constexpr std::string_view acknowledge_word = "acknowledge";
inline constexpr std::string_view letters_word = "letters";

/// One line of JSON, without its end.
std::string to_json(const Hello& hello);
/// Unknown keys and values are passed over; a name is needed.
Result<Hello> parse_hello(std::string_view json);
/// Is `feature` among the names of a dispatcher's header `features`.
bool names_feature(std::string_view features, std::string_view feature);

} // namespace mediaproxy::protocol
