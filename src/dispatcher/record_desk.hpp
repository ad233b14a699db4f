// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/time.hpp"
#include "dispatcher/record_sink.hpp"
#include "dispatcher/session_directory.hpp"
#include "dispatcher/state_store.hpp"

namespace mediaproxy::dispatcher
{

/// The media went another way, chosen by ICE: such a session ends, but does not time out.
bool is_left_by_ice(const protocol::SessionReport& report);

/// Makes accounting records of relays' reports: exactly one for each answered session, with
/// dialog_id, timed_out and a record_id (PROTOCOLS section 4). [core thread]
class RecordDesk
{
public:
    /// `sink` and `store` null: none. `prefix` is unique for this run of the daemon.
    RecordDesk(RecordSink* sink, StateStore* store, std::string prefix);
    /// The records that relays may send again after our restart.
    void load(const Now& now);

    enum class End {
        removed,   ///< by the proxy
        timed_out, ///< on the relay, without the proxy
    };
    /// `known` is what the directory has of it, may be null. `durable` (may be empty) is called as
    /// RecordSink says, and at once when there is nothing to account.
    void put(protocol::SessionReport&& report, End end, const Session* known,
             std::string_view relay, std::function<void()> durable);
    /// The relay does not have it any more.
    void put_lost(const Session& session, End end, std::string_view relay, const Now& now);

    /// A record that an acknowledging relay sent; it may come again.
    enum class Repeat { first, waiting, durable };
    Repeat seen(const std::string& record_id) const;
    void on_received(const std::string& record_id);
    void on_durable(const std::string& record_id, const Now& now);
    void forget_before(WallTime limit);

private:
    RecordSink* sink_;
    StateStore* store_;
    std::string prefix_;
    std::uint64_t last_number_ = 0;
    std::unordered_map<std::string, Repeat> received_;
    struct Received {
        WallTime at;
        std::string record_id;
    };
    std::deque<Received> durable_; ///< oldest first
};

} // namespace mediaproxy::dispatcher
