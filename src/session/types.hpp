// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <mediaproxy/forwarding.h>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "net/endpoint.hpp"
#include "protocol/session_report.hpp"

namespace mediaproxy::session
{

using protocol::Traffic;

/// The two parties of a session, fixed for its life: the caller sent the first offer.
enum class Party : std::uint8_t { caller, callee };
constexpr Party other(Party party) noexcept
{
    return party == Party::caller ? Party::callee : Party::caller;
}

constexpr Party both_parties[] = {Party::caller, Party::callee};

/// One value for each party.
template <class T>
struct PerParty {
    T caller{}, callee{};
    friend constexpr bool operator==(const PerParty&, const PerParty&) = default;
    constexpr T& operator[](Party party) noexcept
    {
        return party == Party::caller ? caller : callee;
    }
    constexpr const T& operator[](Party party) const noexcept
    {
        return party == Party::caller ? caller : callee;
    }
};

/// What a stream has received so far.
struct StreamTraffic {
    PerParty<Traffic> rtp, rtcp;
    friend bool operator==(const StreamTraffic&, const StreamTraffic&) = default;
};

/// What the streams of a session have received so far, in the order of its report.
struct SessionTraffic {
    std::string record_id;
    std::vector<StreamTraffic> streams;
};

/// RTP or RTCP (or what else runs on an even port and the odd one above it).
enum class ComponentKind : std::uint8_t { rtp, rtcp };

class Stream;

/// Whose traffic a relay port serves: kept by the port pool beside the socket.
struct SocketRole {
    Stream* stream = nullptr;    ///< borrowed; the session gives the ports back before it goes
    Party party = Party::caller; ///< the party that sends to and hears from this port
    ComponentKind component = ComponentKind::rtp;
};

/// Two bound sockets, an even port and the odd one above it, lent by a PortSource.
struct PortPair {
    std::uint32_t slot = 0;  ///< the source's own number
    net::Endpoint rtp;       ///< where the RTP socket is bound; RTCP is port + 1
    net::Address advertised; ///< what the SIP proxy is told instead of rtp.address
};

/// A local address for media: where to bind and what to tell.
struct LocalAddress {
    net::Address bind;
    net::Address advertised;
};

/// Lends port pairs. A fake without sockets serves the tests.
class PortSource
{
public:
    virtual ~PortSource() = default;
    /// The address for media of that family with a peer at `toward` (none: not known).
    /// unsupported when the relay does not serve the family.
    virtual Result<LocalAddress> local_address(net::Family family, const net::Address& toward) = 0;
    /// exhausted when no pair or descriptor is left. The sockets' packets are judged by `owner`.
    virtual Result<PortPair> acquire(const LocalAddress& local, Stream& owner, Party party) = 0;
    virtual void release(const PortPair& pair) noexcept = 0;
    /// Whose traffic leaves from there; no stream when it is no lent port of ours. By the bound
    /// address or an advertised one, which need not be the one that this port was told with.
    virtual SocketRole lent_at(const net::Endpoint& endpoint) const noexcept = 0;
    /// An address that media is never sent to: one of our control addresses. (Its own ports a
    /// session knows by itself.)
    virtual bool is_control(const net::Endpoint& endpoint) const noexcept = 0;
};

/// Which dispatcher a session belongs to: a number that the relay gives out.
using OwnerId = std::uint32_t;

/// Unique for this relay over all its restarts, never reused, never 0.
using FlowId = std::uint64_t;

/// Ends flows that a verdict's `install` began.
class FastPath
{
public:
    virtual ~FastPath() = default;
    /// Stops a flow; the sockets are read by the host again. Its totals since install().
    virtual mp_flow_reading uninstall(FlowId id) noexcept = 0;
};

} // namespace mediaproxy::session
