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
struct Hello {
    std::string name; ///< of the relay
    std::string version;
    std::vector<net::Address> addresses; ///< that media is bound to or advertised as
    std::vector<net::Family> families;   ///< served; as the numbers 4 and 6
    std::vector<std::string> features;
};

/// What this relay can do, for Hello::features.
inline constexpr std::string_view feature_pages = "sessions-pages";
inline constexpr std::string_view feature_acknowledge = "acknowledge";
inline constexpr std::string_view feature_owners = "owners";

inline constexpr std::string_view hello_word = "hello";
inline constexpr std::string_view acknowledge_word = "acknowledge";

/// One line of JSON, without its end.
std::string to_json(const Hello& hello);
/// Unknown keys and values are passed over; a name is needed.
Result<Hello> parse_hello(std::string_view json);

} // namespace mediaproxy::protocol
