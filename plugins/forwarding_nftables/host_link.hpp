// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include <mediaproxy/forwarding.h>

namespace forwarding_nftables
{

/// The daemon, as this back end uses it. [core-thread]
class HostLink
{
public:
    HostLink(const mp_host* host, const mp_flow_events* events) : host_(host), events_(events) {}

    std::string owner() const { return host_->owner; }
    std::string state_dir() const { return host_->state_dir; }

    void log(mp_log_level level, const std::string& message) const
    {
        host_->log(host_, level, message.c_str());
    }
    void post(void (*call)(void*), void* user) const { host_->post(host_, call, user); }
    mp_status watch(int fd, void (*call)(void*, std::uint32_t), void* user,
                    std::uint32_t& watch_id) const
    {
        return host_->watch_fd(host_, fd, MP_FD_READ, call, user, &watch_id);
    }
    void unwatch(std::uint32_t watch_id) const { host_->unwatch_fd(host_, watch_id); }
    void lost(mp_flow_id id, std::uint32_t reason) const { events_->lost(host_, id, reason); }
    void readings(std::uint64_t request, std::span<const mp_flow_reading> piece,
                  std::uint32_t last) const
    {
        events_->readings(host_, request, piece.data(), static_cast<std::uint32_t>(piece.size()),
                          last);
    }

private:
    const mp_host* host_;
    const mp_flow_events* events_;
};

} // namespace forwarding_nftables
