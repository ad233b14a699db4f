// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <span>

#include <mediaproxy/forwarding.h>

#include "flow.hpp"

namespace forwarding_userspace
{

/// What workers tell the daemon. [any-thread]
class HostLink
{
public:
    HostLink(const mp_host* host, const mp_flow_events* events) : host_(host), events_(events) {}

    void lost(const Flow& flow) const { events_->lost(host_, flow.id, MP_FLOW_FAILED); }

    void stray(const Leg& leg, const sockaddr& source, const void* data, std::uint32_t size) const
    {
        const mp_endpoint from = to_endpoint(source);
        events_->stray(host_, leg.flow->id, leg.side, &from, data, size);
    }

    void readings(std::uint64_t request, std::span<const mp_flow_reading> piece,
                  std::uint32_t last) const
    {
        events_->readings(host_, request, piece.data(), static_cast<std::uint32_t>(piece.size()),
                          last);
    }

    void log(mp_log_level level, const char* message) const { host_->log(host_, level, message); }

private:
    const mp_host* host_;
    const mp_flow_events* events_;
};

} // namespace forwarding_userspace
