// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "elements.hpp"
#include "support/netlink_socket.hpp"

namespace forwarding_nftables
{

/// Where packets to an address leave, as the host's routing has it: what the netdev family has to
/// know itself. Answers are kept until something changes. [core-thread]
class Routes
{
public:
    /// Null and a sentence when the kernel refuses.
    static std::unique_ptr<Routes> open(mp_error& error);

    /// Way out for packets from `local` to `remote`. MP_E_AGAIN and a sentence while there is no
    /// route or the next hop's link address is not known: packets that the relay itself sends make
    /// the kernel ask for it.
    mp_status resolve(Family family, const mp_endpoint& local, const mp_endpoint& remote, Hop& hop,
                      mp_error& error);

    /// For watch_fd: readable when something changed.
    int fd() const noexcept { return events_->fd(); }
    /// Reads what changed; true when ways out must be resolved again.
    bool changed();

private:
    using NetlinkSocket = mediaproxy::plugin_support::NetlinkSocket;
    struct Question {
        std::array<std::uint8_t, 16> local, remote;
        Family family;
        auto operator<=>(const Question&) const = default;
    };

    Routes(std::unique_ptr<NetlinkSocket> questions, std::unique_ptr<NetlinkSocket> events)
        : questions_(std::move(questions)), events_(std::move(events))
    {
    }
    bool look_up(const Question& question, Hop& hop);
    bool knows_neighbour(Family family, const Hop& hop);
    bool matters(const nlmsghdr& message) const;

    std::unique_ptr<NetlinkSocket> questions_, events_;
    std::map<Question, Hop> known_;
};

} // namespace forwarding_nftables
