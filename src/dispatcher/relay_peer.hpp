// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "net/address.hpp"
#include "protocol/command.hpp"
#include "protocol/reply.hpp"
#include "protocol/request.hpp"
#include "protocol/session_report.hpp"

namespace mediaproxy::dispatcher
{

/// A connected relay as the dispatcher sees it: one over TLS (4.x or ours), or the one in the same
/// process. Answers may come before the call returns. Every handler is called exactly once, with an
/// Error when the relay said `error`, answered garbage, timed out (unavailable) or went away
/// (unavailable); after the peer is destroyed never. [core thread]
class RelayPeer
{
public:
    enum class State { active, halting, unresponsive };
    using PortsHandler = std::function<void(Result<protocol::Ports>)>; ///< halting: code denied
    using ReportHandler = std::function<void(Result<protocol::SessionReport>)>;
    using ReportsHandler = std::function<void(Result<std::vector<protocol::SessionReport>>)>;
    using TextHandler = std::function<void(Result<std::string>)>;

    virtual ~RelayPeer() = default;

    /// The identity: the IP it connects from for 4.x, its own name for ours.
    virtual const std::string& name() const noexcept = 0;
    virtual const net::Address& address() const noexcept = 0; ///< that it connects from
    /// Does `media_relay` mean this relay.
    virtual bool is_called(std::string_view media_relay) const noexcept = 0;
    /// 4.x relays serve IPv4 only as far as we know.
    virtual bool serves(net::Family family) const noexcept = 0;
    virtual bool is_ours() const noexcept = 0; ///< speaks our extensions
    virtual State state() const noexcept = 0;
    virtual std::size_t session_count() const noexcept = 0; ///< as far as known, for balancing

    /// `request` and `update` are two views of the same command; both are borrowed for the call.
    virtual void update(const protocol::Request& request, const protocol::Update& update,
                        PortsHandler done) = 0;
    virtual void remove(const protocol::Remove& remove, ReportHandler done) = 0;
    /// All sessions that the relay holds for this dispatcher (4.x: for all dispatchers).
    virtual void sessions(ReportsHandler done) = 0;
    /// The relay's JSON, passed on as it is.
    virtual void summary(TextHandler done) = 0;
};

} // namespace mediaproxy::dispatcher
