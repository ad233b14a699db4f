// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>

#include <mediaproxy/forwarding.h>

namespace forwarding_test
{

enum class Family { ipv4, ipv6 };

/// A UDP socket on the loopback address of its family, a port of the kernel's choice.
class UdpPhone
{
public:
    explicit UdpPhone(Family family = Family::ipv4);
    explicit UdpPhone(const mp_endpoint& local);
    UdpPhone(UdpPhone&& other) noexcept;
    UdpPhone& operator=(UdpPhone&&) = delete;
    ~UdpPhone();

    int fd() const { return fd_; }
    const mp_endpoint& endpoint() const { return endpoint_; }

    void send(const mp_endpoint& to, const std::string& data) const;
    /// One call that the kernel cuts into datagrams of `segment` bytes.
    void send_joined(const mp_endpoint& to, const std::string& data, unsigned segment) const;

    /// The next datagram; nothing after `patience_ms`.
    std::optional<std::string> receive(int patience_ms = 5000) const;
    std::optional<std::string> receive(mp_endpoint& from, int patience_ms = 5000) const;

private:
    int fd_;
    mp_endpoint endpoint_{};
};

bool same(const mp_endpoint& a, const mp_endpoint& b);

/// Two phones and the two relay sockets between them.
struct Call {
    UdpPhone caller, relay_caller, relay_callee, callee;

    explicit Call(Family caller_family = Family::ipv4, Family callee_family = Family::ipv4)
        : caller(caller_family), relay_caller(caller_family), relay_callee(callee_family),
          callee(callee_family)
    {
    }
    mp_flow flow(mp_flow_id id) const;
};

} // namespace forwarding_test
