// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <mediaproxy/forwarding.h>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace mediaproxy::conformance
{

/// Where the endpoints of a flow are.
enum class Place {
    loopback, ///< all are sockets of this process, and packets go through them
    network, ///< the relay's are, on the first interface with an IPv4 address that is not loopback;
             ///< the parties are neighbours of it that nobody sends to
};

/// A UDP socket, or a party of which there is only the address.
class UdpSocket
{
public:
    /// On the address, in network order. An error when there is no such address.
    static Result<UdpSocket> open(std::uint32_t address);
    static UdpSocket without_socket(std::uint32_t address, std::uint16_t port);

    int fd() const noexcept { return fd_.get(); }
    const mp_endpoint& endpoint() const noexcept { return endpoint_; }
    void send_to(const UdpSocket& to, std::string_view packet) const;
    /// The next packet, if there is one; where it came from into `from`.
    std::optional<std::string> receive(mp_endpoint* from) const;
    bool is_open() const noexcept;

private:
    UniqueFd fd_;
    mp_endpoint endpoint_{};
};

struct SampleFlow {
    static Result<SampleFlow> make(mp_flow_id id, Place place);

    mp_flow abi() const noexcept;

    mp_flow_id id;
    UdpSocket caller, caller_local, callee_local, callee;
};

/// The network when this host is on one, else the loopback.
Place find_place();

bool same(const mp_endpoint& a, const mp_endpoint& b) noexcept;

} // namespace mediaproxy::conformance
