// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "session/component.hpp"
#include "session/lent_ports.hpp"
#include "session/surroundings.hpp"

namespace mediaproxy::session
{

/// What signalling says of one party's side of a stream.
struct Side {
    net::Endpoint signalled;     ///< RTP; none = unknown, unspecified = only ever heard of on hold
    bool rtp_reachable = false;  ///< packets may go to the signalled endpoint before any was heard
    bool rtcp_reachable = false; ///< the same for the port above it
    bool on_hold = false;        ///< this party asked to hold
    bool ice = false;            ///< this party does ICE
};

/// One m= line of a session: four ports on the relay and what passes through them.
class Stream
{
public:
    /// How far signalling has brought it.
    enum class Standing : std::uint8_t {
        proposed,  ///< offered
        early,     ///< answered by a 1xx
        confirmed, ///< answered finally
        ended,     ///< its ports are given back
    };
    enum class End : std::uint8_t {
        silent, ///< never answered; no record shows it
        closed,
        rejected,
        no_traffic,
        hold_timeout,
        idle,
        unselected_ice,
    };
    struct Timeout {
        End end;
        Seconds waited;
    };

    /// Takes four ports, or none and says why.
    static Result<std::unique_ptr<Stream>> open(Surroundings& shared, std::string_view media_type,
                                                const PerParty<LocalAddress>& local, TimePoint now);
    ~Stream();
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    const std::string& media_type() const noexcept { return media_type_; }
    net::Family family() const noexcept { return caller_ports_.pair().rtp.address.family(); }
    Standing standing() const noexcept { return standing_; }
    bool alive() const noexcept { return standing_ != Standing::ended; }
    /// Worth a line in the session's record.
    bool was_answered() const noexcept { return started_ != TimePoint::max(); }
    End end_reason() const noexcept { return end_; }
    TimePoint started() const noexcept { return started_; }

    const LentPorts& ports(Party party) const noexcept
    {
        return party == Party::caller ? caller_ports_ : callee_ports_;
    }
    bool owns(const net::Endpoint& endpoint) const noexcept
    {
        return caller_ports_.is(endpoint) || callee_ports_.is(endpoint);
    }

    // What offers and answers do to it.
    const Side& side(Party party) const noexcept { return sides_[party]; }
    void set_signalled(Party party, const net::Endpoint& endpoint, bool rtp_reachable,
                       bool rtcp_reachable) noexcept;
    void set_ice(Party party, bool ice) noexcept { sides_[party].ice = ice; }
    /// Both parties do: silence may mean that they chose another way.
    bool does_ice() const noexcept { return sides_.caller.ice && sides_.callee.ice; }
    enum class Hold : bool { off, on };
    /// Holding stops the other timers, resuming starts them again. Whoever was silent meanwhile may
    /// come back from elsewhere: NATs forget a port that is not used (RFC 4787 section 4.3).
    void set_hold(Party party, Hold hold, TimePoint now) noexcept;
    bool on_hold() const noexcept { return sides_.caller.on_hold || sides_.callee.on_hold; }
    void note_offer(TimePoint now) noexcept { offered_ = now; }
    enum class Answer : std::uint8_t { early, final };
    void note_answer(Answer answer, TimePoint now) noexcept;
    /// The party sends from elsewhere now: learns it again, ignores its old sources for a second
    /// unless their address is one of these two, and starts its timers again.
    void relearn(Party party, const net::Address& signalled, const net::Address& signaling,
                 TimePoint now) noexcept;
    /// Gives back the ports and takes back the flows. Without effect on an ended stream.
    void end(End reason, TimePoint now, Seconds waited = Seconds(0)) noexcept;

    // Packets.
    Verdict on_packet(ComponentKind kind, Party from, const net::Endpoint& source,
                      std::span<const std::byte> data, TimePoint now) noexcept;
    std::vector<QueuedPacket> take_queued(ComponentKind kind, Party receiver);
    Component& component(ComponentKind kind) noexcept
    {
        return kind == ComponentKind::rtp ? rtp_ : rtcp_;
    }
    const Component& component(ComponentKind kind) const noexcept
    {
        return kind == ComponentKind::rtp ? rtp_ : rtcp_;
    }
    TimePoint last_packet() const noexcept
    {
        return std::max(rtp_.last_packet(), rtcp_.last_packet());
    }

    // The fast path.
    /// Ready for it, and not on it.
    bool wants_flow(ComponentKind kind) const noexcept;
    /// Nothing when the moment is over. Descriptors and mark are left to the caller.
    std::optional<mp_flow> begin_flow(ComponentKind kind);
    void abandon_flow(ComponentKind kind, const Flows::Progress& totals, TimePoint retry_at,
                      TimePoint now) noexcept;
    void on_reading(ComponentKind kind, const Flows::Progress& progress, TimePoint now) noexcept;

    // Timers.
    /// The timeout that is due. Before a stream with a fast path is given up the flow is taken
    /// back, so that its last packets count.
    std::optional<Timeout> due(TimePoint now) noexcept;
    /// RTCP that has fallen silent may come from elsewhere next time.
    void forget_silent_rtcp(TimePoint now) noexcept;
    /// When due() or forget_silent_rtcp() would have something to do if no packet came any more.
    TimePoint deadline() const noexcept { return std::min(next_timeout().at, rtcp_deadline()); }
    /// When it was last offered: the same for all streams of one offer.
    TimePoint offered() const noexcept { return offered_; }
    /// When an offer without a final answer was last heard of, by signalling or a packet.
    TimePoint last_sign_of_offer() const noexcept { return std::max(offered_, last_packet()); }

    /// `start` is the session's. Nothing is left out, whatever the standing.
    protocol::StreamReport report(TimePoint start, TimePoint now) const;
    StreamTraffic traffic() const noexcept;
    /// How often a report changed in anything but traffic and the time. Never shrinks.
    std::uint64_t changes() const noexcept;
    TimePoint created() const noexcept { return created_; }

private:
    Stream(Surroundings& shared, std::string_view media_type, TimePoint now);

    struct Due {
        TimePoint at = TimePoint::max();
        End end = End::closed;
        Seconds waited{0};
    };
    Due next_timeout() const noexcept;
    TimePoint rtcp_deadline() const noexcept;
    void stop_flow(Component& component, TimePoint now) noexcept;
    void restart_timers(TimePoint now) noexcept;
    void reopen_silent_legs(Component& component, TimePoint now) noexcept;
    bool hears_itself(net::Endpoint source) const noexcept;
    std::optional<net::Endpoint> destination(ComponentKind kind, Party receiver) const noexcept;
    const char* status() const noexcept;

    Surroundings& shared_;
    std::string media_type_;
    LentPorts caller_ports_, callee_ports_;
    Component rtp_, rtcp_;
    PerParty<Side> sides_;
    PerParty<TimePoint> since_;      ///< each RTP leg must send after this
    PerParty<TimePoint> rtcp_since_; ///< the same for RTCP
    TimePoint created_, offered_, hold_since_;
    TimePoint started_ = TimePoint::max(); ///< max = not answered
    TimePoint ended_ = TimePoint::max();
    TimePoint first_media_ = TimePoint::max();
    Seconds waited_{0};
    Standing standing_ = Standing::proposed;
    End end_ = End::silent;
};

} // namespace mediaproxy::session
