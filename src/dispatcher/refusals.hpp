// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string_view>

#include "base/time.hpp"
#include "dispatcher/aging_map.hpp"
#include "protocol/command.hpp"

namespace mediaproxy::dispatcher
{

struct Session;

/// Replies that must not create anything (PROTOCOLS section 2): those to a request that was
/// answered `error`, and retransmitted ones of a session that was removed a moment ago. Keys are
/// hashes: one of another call that is equal, one in 2^64, refuses one reply. [pure]
class Refusals
{
public:
    static constexpr Seconds keep_refused{300};
    static constexpr Seconds keep_removed{32};

    /// A request was answered `error`.
    void on_refused(std::string_view call_id, std::string_view from_tag, std::uint32_t cseq,
                    TimePoint now);
    /// The same request was sent again, and accepted.
    void on_accepted(std::string_view call_id, std::string_view from_tag, std::uint32_t cseq,
                     TimePoint now);
    void on_removed(const Session& session, TimePoint now);

    /// Answers a request that was refused.
    bool answers_refused(const protocol::Update& reply, TimePoint now);
    /// Belongs to a session that is gone; ask only when the directory has none.
    bool answers_removed(const protocol::Update& reply, TimePoint now);

    /// Gives memory back.
    void age(TimePoint now);
    /// Entries in memory, for tests of their end.
    std::size_t size() const noexcept { return refused_.size() + removed_.size(); }

private:
    enum class Outcome : std::uint8_t { refused, accepted };
    struct Highest {
        std::uint32_t caller_cseq = 0, callee_cseq = 0;
    };
    AgingMap<Outcome> refused_{keep_refused};
    AgingMap<Highest> removed_{keep_removed};
};

} // namespace mediaproxy::dispatcher
