// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
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
/// Error when the relay said `error`, answered garbage (both: invalid) or more than we take
/// (unsupported), or when no answer is to be expected any more (unavailable). update() and remove()
/// wait for that as long as the connection may still bring an answer, longer than the proxy does:
/// the caller has its own deadlines. After the peer is destroyed no handler is called. [core
/// thread]
class RelayPeer
{
public:
    enum class State { active, halting, unresponsive };
    using PortsHandler = std::function<void(Result<protocol::Ports>)>; ///< halting: code denied
    using ReportHandler = std::function<void(Result<protocol::SessionReport>)>;
    using ReportsHandler = std::function<void(Result<std::vector<protocol::SessionReport>>)>;
    using TextHandler = std::function<void(Result<std::string>)>;
    /// A part of the relay's list as it came.
    struct Page {
        std::string sessions;   ///< a JSON array
        std::uint64_t next = 0; ///< go on behind this; 0: that was all
    };
    using PageHandler = std::function<void(Result<Page>)>;

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
    /// The same in pieces and as text, for the management interface: at most `most` sessions behind
    /// the one numbered `after` (0 = from the start). Who cannot page gives all at once.
    virtual void session_page(std::uint64_t after, std::size_t most, PageHandler done);
    using AcknowledgedHandler = std::function<void(bool)>;
    using CountHandler = std::function<void(Result<std::size_t>)>;
    /// It keeps what it answered to a `remove`, too, until that is acknowledged, and can tell its
    /// unsent_letters() (protocol::feature_keep).
    virtual bool keeps_records() const noexcept { return false; }
    /// These records, which this relay sent, are durable here; it may forget them. `done` is told
    /// whether it has heard that.
    virtual void acknowledge(const std::vector<std::string>& record_ids, AcknowledgedHandler done)
    {
        (void)record_ids;
        done(false);
    }
    /// Asks it to send the records again that are not acknowledged. A relay of ours only.
    virtual void tell_again() {}
    /// How many reports of ended sessions it has for us and did not send yet. Ask only who
    /// keeps_records().
    virtual void unsent_letters(CountHandler done)
    {
        done(Error{Error::Code::unsupported, "it does not say"});
    }
    /// The relay's JSON, passed on as it is.
    virtual void summary(TextHandler done) = 0;
};

} // namespace mediaproxy::dispatcher
