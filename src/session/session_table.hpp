// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "protocol/command.hpp"
#include "protocol/reply.hpp"
#include "protocol/session_report.hpp"
#include "session/rules.hpp"
#include "session/types.hpp"
#include "session/verdict.hpp"

namespace mediaproxy::session
{

class Session;

/// A session that ended without a `remove`.
struct Expired {
    OwnerId owner = 0;
    protocol::SessionReport report; ///< all_streams_ice is set
};

/// All sessions of a relay: the whole of PROTOCOLS section 3 without a socket, a clock or a log.
/// Single-threaded. Its members are found in other headers of this room; the shell needs only this
/// one.
class SessionTable
{
public:
    SessionTable(Rules rules, PortSource& ports, FastPath& fast_path, FlowId first_flow_id);
    ~SessionTable();
    SessionTable(const SessionTable&) = delete;
    SessionTable& operator=(const SessionTable&) = delete;

    /// Offer or answer. The ports that the SIP proxy shall write into the SDP, or why not: `error`
    /// is said to the proxy, the sentence is for the log. Flows that end are uninstalled before
    /// this returns; on an error nothing has changed and nothing is taken.
    Result<protocol::Ports> update(const protocol::Update& update, OwnerId owner, const Now& now);

    /// Ends a session (found by either tag; both may be the session's from_tag) and gives its final
    /// report. A remove that names only another fork's tag leaves the session: then the report is
    /// that of the living session, which the table still knows(). not_found when there is none.
    Result<protocol::SessionReport> remove(const protocol::Remove& remove, const Now& now);

    /// `tag` is the session's from_tag.
    bool knows(std::string_view call_id, std::string_view tag) const noexcept
    {
        return find(call_id, tag) != nullptr;
    }
    /// For tests and diagnosis; borrowed until the next call that changes something.
    const Session* find(std::string_view call_id, std::string_view tag) const noexcept;

    /// Judges a packet that the shell read from a relay port (or got back as a stray). Allocates
    /// only when it queues STUN.
    Verdict on_packet(const SocketRole& role, const net::Endpoint& source,
                      std::span<const std::byte> data, TimePoint now) noexcept;
    std::vector<QueuedPacket> take_queued(const SocketRole& role);

    /// A component whose legs are both learned: gives it a flow id and fills what a back end needs,
    /// but the sockets (`caller_slot` and `callee_slot` say which). Nothing when the moment is
    /// over.
    struct FlowPlan {
        mp_flow flow;
        std::uint32_t caller_slot = 0, callee_slot = 0;
        ComponentKind component = ComponentKind::rtp;
    };
    std::optional<FlowPlan> begin_flow(const SocketRole& role);
    /// The back end refused the flow, or lost it: slow path again. `totals` are added (zeros when
    /// never installed). Asks for no new install before `retry_at`.
    void abandon_flow(FlowId id, const mp_flow_reading& totals, TimePoint retry_at, TimePoint now);
    /// Counters of running flows, once a second and on demand; absolute since install.
    void on_readings(std::span<const mp_flow_reading> readings, TimePoint now);

    /// Ends what is due, at most so many sessions. Those whose last live stream timed out are gone
    /// when this returns.
    std::vector<Expired> expire(const Now& now, std::size_t most = SIZE_MAX);
    /// When expire() has something to do at the earliest; nothing when there is no session.
    std::optional<TimePoint> next_deadline() const;
    /// Ends every session at once (TERM, INT), or all of one owner.
    std::vector<Expired> end_all(const Now& now, std::optional<OwnerId> owner = std::nullopt);

    std::size_t session_count() const noexcept;
    std::size_t session_count(OwnerId owner) const noexcept;
    /// Live streams by media type.
    std::vector<std::pair<std::string, std::uint64_t>> stream_count() const;
    /// Learned flows: what a back end has, and what it should have.
    struct FlowCount {
        std::size_t installed = 0, slow = 0;
    };
    FlowCount flow_count() const noexcept;
    /// Bytes received from all parties since the start, ended sessions included.
    std::uint64_t total_bytes() const noexcept;

    /// Reports in pieces, so that a long list holds up nobody: starts behind the session numbered
    /// `after` (0 = from the start), at most `most` sessions; returns the number to go on with, 0
    /// when done. Sessions keep their numbers.
    std::uint64_t
    list(std::uint64_t after, std::size_t most, const Now& now,
         const std::function<void(OwnerId, const protocol::SessionReport&)>& each) const;

    // For who keeps copies of the reports of answered sessions, in case this process is killed.
    using EachReport = std::function<void(OwnerId, const protocol::SessionReport&)>;
    /// Those that were answered since the last call, and live.
    void tell_answered(const Now& now, const EachReport& each);
    bool has_answered() const noexcept;
    using EachTraffic = std::function<void(const SessionTraffic&)>;
    struct Stretch {
        std::size_t after;   ///< the place before it
        std::size_t places;  ///< how long it is
        std::size_t reports; ///< to be told of at most; the others in another walk
    };
    /// Those of a stretch of places whose reports have changed since they were told last, but for
    /// time and traffic, and of each what it has received. Returns where to go on, 0 when that was
    /// the last place. Sessions keep their places.
    std::size_t tell_changed(const Stretch& stretch, const Now& now, const EachReport& each,
                             const EachTraffic& each_traffic);
    /// Every report counts as changed: what they are kept for has changed.
    void tell_all_again() noexcept;
    /// `each` hears of the sessions that are removed by remove() and were told of before: what they
    /// have received in the end. [for the life of the table]
    void on_removal(EachTraffic each);
    /// How many places there are to walk over.
    std::size_t place_count() const noexcept;

private:
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace mediaproxy::session
