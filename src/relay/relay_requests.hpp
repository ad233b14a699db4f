// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "base/result.hpp"
#include "protocol/command.hpp"
#include "protocol/reply.hpp"
#include "protocol/session_report.hpp"
#include "session/session_table.hpp"

namespace mediaproxy::relay
{

/// What dispatchers ask of the relay. [core thread]
class RelayRequests
{
public:
    using EachReport = std::function<void(session::OwnerId, const protocol::SessionReport&)>;

    virtual ~RelayRequests() = default;
    /// unavailable = draining, and the session is not known.
    virtual Result<protocol::Ports> update(const protocol::Update& update,
                                           session::OwnerId owner) = 0;
    struct Removed {
        protocol::SessionReport report;
        bool ended = true; ///< false: a late fork was forgotten, the session lives
    };
    virtual Result<Removed> remove(const protocol::Remove& remove) = 0;
    /// Letters were put that are not in the store yet.
    virtual void on_letters() = 0;
    virtual protocol::RelaySummary summary() const = 0;
    /// See SessionTable::list.
    virtual std::uint64_t list(std::uint64_t after, std::size_t most,
                               const EachReport& each) const = 0;
    /// Calls `done` when the fast path's counters are as of now.
    virtual void refresh(std::function<void()> done) = 0;
    /// What we say of ourselves: JSON, see protocol::Hello.
    virtual std::string hello() const = 0;
};

} // namespace mediaproxy::relay
