// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <cassert>
#include <cstdint>
#include <limits>
#include <map>
#include <vector>

#include "session/types.hpp"

namespace mediaproxy::fakes
{

/// Lends port pairs without sockets: one local address for each family, ports counted upwards, and
/// a memory of who has what.
class FakePorts : public session::PortSource
{
public:
    struct Lent {
        session::PortPair pair;
        session::SocketRole role; ///< of the RTP socket
        std::size_t stream = 0;   ///< streams are numbered from 1 in the order of their making
    };

    net::Address ipv4 = net::Address::v4({20, 3, 0, 1});
    net::Address ipv6 = net::Address::v6({0x20, 0x01, 0x0d, 0xb8, 0, 3});
    net::Address advertised; ///< told instead of `ipv4` when set
    bool serves_ipv6 = true;
    std::size_t pairs_left = std::numeric_limits<std::size_t>::max();
    std::vector<net::Endpoint> control;
    std::vector<net::Address> asked_toward; ///< what local_address() was asked

    Result<session::LocalAddress> local_address(net::Family family,
                                                const net::Address& toward) override
    {
        asked_toward.push_back(toward);
        if (family == net::Family::v6 && !serves_ipv6)
            return Error{Error::Code::unsupported, "no IPv6 here"};
        if (family == net::Family::v6)
            return session::LocalAddress{ipv6, ipv6};
        return session::LocalAddress{ipv4, advertised ? advertised : ipv4};
    }

    Result<session::PortPair> acquire(const session::LocalAddress& local, session::Stream& owner,
                                      session::Party party) override
    {
        if (pairs_left == 0)
            return Error{Error::Code::exhausted, "no port pair is left"};
        --pairs_left;
        if (party == session::Party::caller)
            ++streams_made_;
        const auto slot = static_cast<std::uint32_t>(acquired_++);
        Lent lent;
        lent.pair = {slot, {local.bind, next_port()}, local.advertised};
        lent.role = {&owner, party, session::ComponentKind::rtp};
        lent.stream = streams_made_;
        lent_.emplace(slot, lent);
        history_.push_back(lent);
        return lent.pair;
    }

    void release(const session::PortPair& pair) noexcept override
    {
        const auto found = lent_.find(pair.slot);
        assert(found != lent_.end());
        lent_.erase(found);
        if (pairs_left != std::numeric_limits<std::size_t>::max())
            ++pairs_left;
        ++released_;
    }

    session::SocketRole lent_at(const net::Endpoint& endpoint) const noexcept override
    {
        const bool is_here = endpoint.address == ipv4 || endpoint.address == ipv6 ||
                             (advertised && endpoint.address == advertised);
        return is_here ? role(endpoint.port) : session::SocketRole{};
    }

    bool is_control(const net::Endpoint& endpoint) const noexcept override
    {
        return std::find(control.begin(), control.end(), endpoint) != control.end();
    }

    std::size_t live() const noexcept { return lent_.size(); }
    std::size_t acquired() const noexcept { return acquired_; }
    std::size_t released() const noexcept { return released_; }
    const std::map<std::uint32_t, Lent>& lent() const noexcept { return lent_; }
    std::size_t streams_made() const noexcept { return streams_made_; }
    /// Off for tests that run for long.
    void forget_history() { history_.clear(); }

    /// What is or was behind a port, newest first; null for an unknown one.
    const Lent* behind(net::Port port) const noexcept
    {
        const auto found = std::find_if(history_.rbegin(), history_.rend(), [&](const Lent& lent) {
            return lent.pair.rtp.port == port;
        });
        return found == history_.rend() ? nullptr : &*found;
    }
    /// The role of a lent port's socket.
    session::SocketRole role(net::Port port) const noexcept
    {
        for (const auto& [slot, lent] : lent_) {
            session::SocketRole role = lent.role;
            if (lent.pair.rtp.port == port)
                return role;
            role.component = session::ComponentKind::rtcp;
            if (lent.pair.rtp.port + 1 == port)
                return role;
        }
        return {};
    }

private:
    net::Port next_port() noexcept
    {
        const net::Port port = port_;
        port_ = port_ >= 59998 ? 40000 : static_cast<net::Port>(port_ + 2);
        return port;
    }

    net::Port port_ = 40000;
    std::size_t acquired_ = 0, released_ = 0, streams_made_ = 0;
    std::map<std::uint32_t, Lent> lent_;
    std::vector<Lent> history_;
};

} // namespace mediaproxy::fakes
