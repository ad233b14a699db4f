// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>

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
    /// once, when the record will survive a crash; until then the relay keeps its copy.
    virtual void put(protocol::SessionReport&& record, std::function<void()> durable) = 0;
};

} // namespace mediaproxy::dispatcher
