// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <vector>

#include "elements.hpp"
#include "support/netlink_socket.hpp"

namespace forwarding_nftables
{

/// Reads maps element by element on a socket of its own, a datagram at a time (some 200 elements).
/// The kernel goes on with a dump whenever something of it is read.
class MapDump
{
public:
    enum class Step { more, done, failed };

    /// Null and a sentence when there is no such socket.
    static std::unique_ptr<MapDump> open(mp_error& error);

    /// For watch_fd.
    int fd() const noexcept { return socket_->fd(); }
    /// Begins to read these maps, one after the other; an earlier dump is forgotten.
    Step start(std::vector<MapPlace> places);
    /// Reads one datagram, if there is one. `failed`: elements may be missing that are there.
    Step next(const OnElement& on_element);
    /// Why the dump failed: an errno. ENOENT: there is no such map.
    int error() const noexcept { return error_; }

private:
    using NetlinkSocket = mediaproxy::plugin_support::NetlinkSocket;

    explicit MapDump(std::unique_ptr<NetlinkSocket> socket) : socket_(std::move(socket)) {}
    Step ask();

    std::unique_ptr<NetlinkSocket> socket_;
    std::vector<MapPlace> places_; ///< still to be read, the present one last
    std::uint32_t sequence_ = 0;
    int error_ = 0;
};

} // namespace forwarding_nftables
