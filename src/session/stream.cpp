// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/stream.hpp"

#include <algorithm>

#include "media/packet_kind.hpp"

namespace mediaproxy::session
{

namespace
{

constexpr Seconds ignore_old_source_for{1};
/// Many a NAT keeps the port of UDP for 30 s only.
constexpr Seconds mapping_lifetime{25};
/// Calls that follow each other through this relay; nobody means so many.
constexpr int longest_chain = 16;

std::size_t ip_packet_size(const net::Endpoint& source, std::size_t payload) noexcept
{
    constexpr std::size_t ipv4_header = 20, ipv6_header = 40, udp_header = 8;
    return (source.address.is_v6() ? ipv6_header : ipv4_header) + udp_header + payload;
}

net::Endpoint at(const net::Endpoint& rtp, ComponentKind kind) noexcept
{
    net::Endpoint endpoint = rtp;
    if (kind == ComponentKind::rtcp)
        ++endpoint.port;
    return endpoint;
}

} // namespace

Stream::Stream(Surroundings& shared, std::string_view media_type, TimePoint now)
    : shared_(shared), media_type_(media_type), rtp_(shared.rules.learning_policy),
      rtcp_(shared.rules.learning_policy), since_{now, now}, rtcp_since_{now, now}, created_(now),
      offered_(now), hold_since_(now)
{
}

Result<std::unique_ptr<Stream>> Stream::open(Surroundings& shared, std::string_view media_type,
                                             const PerParty<LocalAddress>& local, TimePoint now)
{
    std::unique_ptr<Stream> stream(new Stream(shared, media_type, now));
    auto caller = shared.ports.acquire(local.caller, *stream, Party::caller);
    if (!caller) {
        stream->standing_ = Standing::ended;
        return std::move(caller).error();
    }
    stream->caller_ports_ = LentPorts(shared.ports, *caller);
    auto callee = shared.ports.acquire(local.callee, *stream, Party::callee);
    if (!callee) {
        stream->standing_ = Standing::ended;
        return std::move(callee).error();
    }
    stream->callee_ports_ = LentPorts(shared.ports, *callee);
    shared.live.add(media_type);
    return stream;
}

Stream::~Stream()
{
    end(End::silent, created_);
}

void Stream::set_signalled(Party party, const net::Endpoint& endpoint, bool rtp_reachable,
                           bool rtcp_reachable) noexcept
{
    Side& side = sides_[party];
    side.signalled = endpoint;
    side.rtp_reachable = rtp_reachable;
    side.rtcp_reachable = rtcp_reachable;
}

void Stream::set_hold(Party party, Hold hold, TimePoint now) noexcept
{
    const bool before = on_hold();
    sides_[party].on_hold = hold == Hold::on;
    if (!before && on_hold()) {
        hold_since_ = now;
        for (Component* const component : {&rtp_, &rtcp_})
            for (const Party each : both_parties)
                component->leg(each).shut();
    }
    if (before && !on_hold()) {
        restart_timers(now);
        reopen_silent_legs(rtp_, now);
        reopen_silent_legs(rtcp_, now);
    }
}

void Stream::reopen_silent_legs(Component& component, TimePoint now) noexcept
{
    for (const Party party : both_parties) {
        Leg& leg = component.leg(party);
        const auto is_silent = [&] { return now - leg.last_packet() >= mapping_lifetime; };
        if (!leg.latch().learned() || !is_silent())
            continue;
        stop_flow(component, now); // its last counters may say more
        if (is_silent())
            leg.reopen(now + shared_.rules.stream_timeout);
    }
}

void Stream::note_answer(Answer answer, TimePoint now) noexcept
{
    if (!was_answered())
        started_ = now;
    if (answer == Answer::early && standing_ == Standing::proposed)
        standing_ = Standing::early;
    if (answer == Answer::final && standing_ != Standing::confirmed) {
        standing_ = Standing::confirmed;
        restart_timers(now);
    }
}

void Stream::relearn(Party party, const net::Address& signalled, const net::Address& signaling,
                     TimePoint now) noexcept
{
    for (Component* component : {&rtp_, &rtcp_}) {
        stop_flow(*component, now);
        component->leg(party).relearn(signalled, signaling, now + ignore_old_source_for);
    }
    since_[party] = now;
    rtcp_since_[party] = now;
}

void Stream::restart_timers(TimePoint now) noexcept
{
    since_ = {now, now};
    rtcp_since_ = {now, now};
}

void Stream::end(End reason, TimePoint now, Seconds waited) noexcept
{
    if (!alive())
        return;
    stop_flow(rtp_, now);
    stop_flow(rtcp_, now);
    rtp_.drop_queue();
    rtcp_.drop_queue();
    caller_ports_.give_back();
    callee_ports_.give_back();
    shared_.live.remove(media_type_);
    standing_ = Standing::ended;
    end_ = reason;
    waited_ = waited;
    ended_ = now;
    if (reason == End::rejected)
        started_ = now;
}

std::optional<net::Endpoint> Stream::destination(ComponentKind kind, Party receiver) const noexcept
{
    const Latch& latch = component(kind).leg(receiver).latch();
    if (latch.learned())
        return latch.remote();
    const Side& side = sides_[receiver];
    const bool reachable = kind == ComponentKind::rtp ? side.rtp_reachable : side.rtcp_reachable;
    if (!reachable)
        return std::nullopt;
    return at(side.signalled, kind);
}

/// Does what comes from there go out of this stream, by way of other streams of ours or of none? A
/// leg that learned such a source would close a ring, in which one packet goes round for ever. A
/// spiral closes none: at its ends are phones, or nobody yet.
bool Stream::hears_itself(net::Endpoint source) const noexcept
{
    for (int i = 0; i < longest_chain; ++i) {
        const SocketRole sender = shared_.ports.lent_at(source);
        if (!sender.stream || !sender.stream->ports(sender.party).is(source))
            return false;
        if (sender.stream == this)
            return true;
        const Component& component = sender.stream->component(sender.component);
        source = component.leg(other(sender.party)).latch().remote();
    }
    return true;
}

Verdict Stream::on_packet(ComponentKind kind, Party from, const net::Endpoint& source,
                          std::span<const std::byte> data, TimePoint now) noexcept
{
    Verdict verdict;
    Component& component = this->component(kind);
    Leg& leg = component.leg(from);
    // A forged packet from one of our own ports must not make the stream talk to itself. What the
    // leg has learned already was looked at then.
    if (!alive() ||
        (leg.latch().takes_anyone(now) && source != leg.latch().remote() && hears_itself(source)))
        return verdict;
    const Latch::Verdict latched = leg.learn(source, now);
    if (latched == Latch::Verdict::drop)
        return verdict;

    const std::size_t bytes = ip_packet_size(source, data.size());
    leg.count(bytes, now);
    shared_.total_bytes += bytes;
    const media::PacketKind packet = media::classify(data);
    const bool is_media = packet != media::PacketKind::stun;
    if (is_media) {
        leg.note_media(now);
        if (kind == ComponentKind::rtp)
            first_media_ = std::min(first_media_, now);
    }
    if (packet == media::PacketKind::rtp)
        leg.note_payload_type(media::payload_type(data));

    verdict.release_queue = latched == Latch::Verdict::learned && component.has_queued(from);
    verdict.install_ready = component.may_install(now) && wants_flow(kind);
    verdict.out_component = kind;
    verdict.out_slot = ports(other(from)).pair().slot;
    if (const auto to = destination(kind, other(from))) {
        verdict.action = Verdict::Action::forward;
        verdict.to = *to;
    } else if (!is_media && component.queue(other(from), data)) {
        verdict.action = Verdict::Action::queued;
    }
    return verdict;
}

std::vector<QueuedPacket> Stream::take_queued(ComponentKind kind, Party receiver)
{
    const auto to = destination(kind, receiver);
    if (!alive() || !to)
        return {};
    auto taken = component(kind).take_queued(receiver);
    for (QueuedPacket& packet : taken) {
        packet.out_slot = ports(receiver).pair().slot;
        packet.out_component = kind;
        packet.to = *to;
    }
    return taken;
}

bool Stream::wants_flow(ComponentKind kind) const noexcept
{
    const Component& component = this->component(kind);
    return alive() && component.flow() == 0 && component.ready_for_fast_path() &&
           (kind == ComponentKind::rtp || shared_.rules.accelerate_rtcp);
}

std::optional<mp_flow> Stream::begin_flow(ComponentKind kind)
{
    if (!wants_flow(kind))
        return std::nullopt;
    Component& component = this->component(kind);
    component.began(shared_.flows.begin(*this, kind));
    // The host decides what is idle; the kernel may only forget what nobody would miss.
    const Rules& rules = shared_.rules;
    const Milliseconds longest =
        std::max({rules.stream_timeout, rules.idle_timeout, rules.on_hold_timeout}) + Seconds(60);
    mp_flow flow{};
    flow.struct_size = sizeof flow;
    flow.id = component.flow();
    flow.caller_remote = to_abi(component.leg(Party::caller).latch().remote());
    flow.caller_local = to_abi(at(caller_ports_.pair().rtp, kind));
    flow.callee_local = to_abi(at(callee_ports_.pair().rtp, kind));
    flow.callee_remote = to_abi(component.leg(Party::callee).latch().remote());
    flow.caller_fd = flow.callee_fd = -1;
    flow.orphan_timeout_ms =
        static_cast<std::uint32_t>(std::min<std::int64_t>(longest.count(), UINT32_MAX));
    flow.dscp = 255;
    return flow;
}

void Stream::abandon_flow(ComponentKind kind, const Flows::Progress& totals, TimePoint retry_at,
                          TimePoint now) noexcept
{
    component(kind).ended(retry_at);
    on_reading(kind, totals, now);
}

void Stream::on_reading(ComponentKind kind, const Flows::Progress& progress, TimePoint now) noexcept
{
    shared_.total_bytes += component(kind).add(progress, now);
}

void Stream::stop_flow(Component& component, TimePoint now) noexcept
{
    if (component.flow() == 0)
        return;
    const Flows::Progress totals = shared_.flows.stop(component.flow());
    component.ended(now);
    shared_.total_bytes += component.add(totals, now);
}

Stream::Due Stream::next_timeout() const noexcept
{
    const Rules& rules = shared_.rules;
    if (!alive())
        return {};
    if (on_hold())
        return {after(hold_since_, rules.on_hold_timeout), End::hold_timeout,
                rules.on_hold_timeout};
    Due due{TimePoint::max(), End::no_traffic, rules.stream_timeout};
    bool all_sent = true;
    for (const Party party : both_parties) {
        if (rtp_.leg(party).has_sent_since(since_[party]))
            continue;
        all_sent = false;
        TimePoint from = since_[party];
        if (rules.allow_one_way)
            from = std::max(from, rtp_.leg(other(party)).last_media());
        if (standing_ == Standing::confirmed)
            due.at = std::min(due.at, after(from, rules.stream_timeout));
    }
    if (all_sent)
        return {after(rtp_.last_packet(), rules.idle_timeout), End::idle, rules.idle_timeout};
    return due;
}

std::optional<Stream::Timeout> Stream::due(TimePoint now) noexcept
{
    Due due = next_timeout();
    if (due.at > now)
        return std::nullopt;
    if (rtp_.flow() != 0 && due.end != End::hold_timeout) {
        stop_flow(rtp_, now);
        due = next_timeout();
        if (due.at > now)
            return std::nullopt;
    }
    return Timeout{does_ice() ? End::unselected_ice : due.end, due.waited};
}

TimePoint Stream::rtcp_deadline() const noexcept
{
    const bool learned =
        rtcp_.leg(Party::caller).latch().learned() || rtcp_.leg(Party::callee).latch().learned();
    if (standing_ != Standing::confirmed || on_hold() || !learned)
        return TimePoint::max();
    TimePoint silent = TimePoint::max();
    for (const Party party : both_parties) {
        if (!rtcp_.leg(party).has_sent_since(rtcp_since_[party]))
            silent = std::min(silent, after(rtcp_since_[party], shared_.rules.stream_timeout));
    }
    if (silent != TimePoint::max())
        return silent;
    return after(rtcp_.last_packet(), shared_.rules.idle_timeout);
}

void Stream::forget_silent_rtcp(TimePoint now) noexcept
{
    if (rtcp_deadline() > now)
        return;
    stop_flow(rtcp_, now);
    if (rtcp_deadline() > now)
        return;
    rtcp_.leg(Party::caller).forget();
    rtcp_.leg(Party::callee).forget();
    rtcp_since_ = {now, now};
}

const char* Stream::status() const noexcept
{
    if (alive())
        return on_hold() ? "on hold" : "active";
    switch (end_) {
    case End::rejected:
        return "rejected";
    case End::no_traffic:
        return "no-traffic timeout";
    case End::hold_timeout:
        return "on hold timeout";
    case End::idle:
        return "conntrack timeout";
    case End::unselected_ice:
        return "unselected ICE candidate";
    case End::silent:
    case End::closed:
        break;
    }
    return "closed";
}

protocol::StreamReport Stream::report(TimePoint start, TimePoint now) const
{
    const auto seconds_to = [&](TimePoint when) {
        return std::chrono::duration_cast<Seconds>(when - start).count();
    };
    const Leg& caller = rtp_.leg(Party::caller);
    const Leg& callee = rtp_.leg(Party::callee);
    protocol::StreamReport report;
    report.media_type = media_type_;
    report.status = status();
    report.timeout_wait = waited_.count();
    report.caller_codec = caller.codec();
    report.callee_codec = callee.codec();
    report.start_time = was_answered() ? seconds_to(started_) : 0;
    report.end_time = seconds_to(alive() ? now : ended_);
    if (first_media_ != TimePoint::max())
        report.post_dial_delay = std::chrono::duration<double>(first_media_ - created_).count();
    report.rtp_from_caller = caller.traffic();
    report.rtp_from_callee = callee.traffic();
    report.rtcp_from_caller = rtcp_.leg(Party::caller).traffic();
    report.rtcp_from_callee = rtcp_.leg(Party::callee).traffic();
    report.caller_local = caller_ports_.pair().rtp.to_record();
    report.callee_local = callee_ports_.pair().rtp.to_record();
    report.caller_remote = caller.latch().remote().to_record();
    report.callee_remote = callee.latch().remote().to_record();
    return report;
}

StreamTraffic Stream::traffic() const noexcept
{
    const auto of = [](const Component& component) {
        return PerParty<Traffic>{component.leg(Party::caller).traffic(),
                                 component.leg(Party::callee).traffic()};
    };
    return {of(rtp_), of(rtcp_)};
}

std::uint64_t Stream::changes() const noexcept
{
    return rtp_.leg(Party::caller).changes() + rtp_.leg(Party::callee).changes() +
           (alive() ? 0U : 1U) + (first_media_ == TimePoint::max() ? 0U : 1U);
}

} // namespace mediaproxy::session
