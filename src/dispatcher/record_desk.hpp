// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/time.hpp"
#include "dispatcher/aging_map.hpp"
#include "dispatcher/record_sink.hpp"
#include "dispatcher/session_directory.hpp"

namespace mediaproxy::dispatcher
{

/// The media went another way, chosen by ICE: such a session ends, but does not time out.
bool is_left_by_ice(const protocol::SessionReport& report);

/// Makes accounting records of relays' reports: exactly one for each answered session, with
/// dialog_id, timed_out and a record_id (PROTOCOLS section 4). [core thread]
class RecordDesk
{
public:
    /// `sink` null: none.
    explicit RecordDesk(RecordSink* sink);

    enum class End {
        removed,   ///< by the proxy
        timed_out, ///< on the relay, without the proxy
    };
    /// `known` is what the directory has of it, may be null. `durable` (may be empty) is called as
    /// RecordSink says, and at once when there is nothing to account. False when there is no room:
    /// then it is never called.
    bool put(protocol::SessionReport&& report, End end, const Session* known,
             std::string_view relay, std::function<void()> durable);
    /// The relay does not have it any more.
    void put_lost(const Session& session, End end, std::string_view relay, const Now& now);

    /// How many records were handed to the sink.
    std::uint64_t handed_over() const noexcept { return handed_over_; }
    /// Calls `durable` when all of them are durable, at once while the sink is late.
    void when_durable(std::function<void()> durable);
    /// Lets go of the memory of what is too old to come again.
    void age(TimePoint now) { recent_.age(now); }

private:
    RecordSink* sink_;
    std::uint64_t handed_over_ = 0;
    AgingMap<bool> recent_; ///< record ids that were put
};

} // namespace mediaproxy::dispatcher
