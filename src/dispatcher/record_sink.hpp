// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>

#include "accounting/figures.hpp"
#include "protocol/session_report.hpp"

namespace mediaproxy::dispatcher
{

/// Where accounting records go. The application puts its accounting room behind this.
/// [core thread]
class RecordSink
{
public:
    virtual ~RecordSink() = default;

    /// Takes a finished record. `durable` (may be empty) is called on the core thread, later or at
    /// once, when the record will survive a crash; until then the relay keeps its copy. False when
    /// there is no room for it; then `durable` is never called.
    virtual bool put(protocol::SessionReport&& record, std::function<void()> durable) = 0;
    /// Calls `durable` when all that was put until now will survive a crash.
    virtual void when_durable(std::function<void()> durable) = 0;
    /// The spool does not take records in time: nobody waits for it, they are in memory.
    virtual bool is_late() const = 0;
    virtual accounting::Figures figures() const = 0;
};

} // namespace mediaproxy::dispatcher
