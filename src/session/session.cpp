// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/session.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "session/message.hpp"

namespace mediaproxy::session
{

namespace
{

bool in_mixed_families(const protocol::MediaLines& media) noexcept
{
    net::Family family = net::Family::none;
    for (const protocol::MediaLine& line : media) {
        if (line.disabled())
            continue;
        if (family != net::Family::none && family != line.address.address.family())
            return true;
        family = line.address.address.family();
    }
    return false;
}

net::Family family_of(const protocol::MediaLines& media) noexcept
{
    for (const protocol::MediaLine& line : media) {
        if (!line.disabled())
            return line.address.address.family();
    }
    return media.empty() ? net::Family::none : media[0].address.address.family();
}

} // namespace

Session::Session(Surroundings& shared, const protocol::Update& opening, OwnerId owner,
                 std::uint64_t serial, const Now& now)
    : shared_(shared), ends_{}, owner_(owner), serial_(serial), tags_({}), created_(now),
      empty_since_(now.mono)
{
    const std::string_view parts[] = {opening.call_id, opening.from_tag, opening.from_uri,
                                      opening.to_uri};
    std::size_t size = 0;
    for (const std::string_view part : parts)
        size += part.size();
    text_.reserve(size);
    for (std::size_t i = 0; i < std::size(parts); ++i) {
        text_ += parts[i];
        if (i < std::size(ends_))
            ends_[i] = static_cast<std::uint32_t>(text_.size());
    }
    tags_ = Tags(from_tag());
}

Session::~Session() = default;

Session::Message Session::understand(const protocol::Update& update) const
{
    const bool same = update.from_tag == from_tag();
    const bool request = update.type == protocol::MessageType::request;
    Message message{update, {}, family_of(update.media), {}};
    message.key = MessageKey{update.type, request == same ? Party::caller : Party::callee,
                             tags_.find(update.from_tag), tags_.find(update.to_tag), update.cseq};

    // A script that sets signaling_ip leaves the caller's value on the callee's replies.
    const protocol::Signaling& told = update.signaling;
    const bool is_callers = told.source && told.source == signaling_.caller;
    // So does a pair: on a reply that begins the session it is that of the request before it.
    const bool is_requests = !request && told.destination && !signaling_.caller;
    const Party source = is_callers    ? Party::caller
                         : is_requests ? other(message.speaker())
                                       : message.speaker();
    message.signaling[source] = told.source;
    message.signaling[other(source)] = told.destination;
    return message;
}

Result<protocol::Ports> Session::update(const protocol::Update& update, const Now& now)
{
    const Message message = understand(update);
    const bool was_alive = any_alive();
    auto ports = update.has_media ? with_media(message, now) : without_media(message, now);
    if (!ports)
        return Error{ports.error().code,
                     "session " + text::printable(call_id()) + ": " + ports.error().message};
    if (!any_alive() && (was_alive || last_role_ == MessageRole::offer))
        empty_since_ = now.mono;
    ++updates_;
    return ports;
}

std::uint64_t Session::revision() const noexcept
{
    std::uint64_t of_streams = 0;
    for (const auto& stream : streams_) {
        if (stream->was_answered()) // else it may vanish again, and no report shows it
            of_streams += stream->changes();
    }
    // Neither ever shrinks, so that no later state has the same sum by chance; never 0.
    return 1 + of_streams + updates_;
}

Result<protocol::Ports> Session::with_media(const Message& message, const Now& now)
{
    if (message.media().empty())
        return invalid("no media line");
    if (in_mixed_families(message.media()))
        return Error{Error::Code::unsupported, "IPv4 and IPv6 in one SDP"};
    const Rounds::Judgement judged = rounds_.judge(message.key, tags_);
    Result<protocol::Ports> ports =
        invalid("CSeq " + std::to_string(message.key.cseq) + " belongs to no known offer");
    switch (judged.role) {
    case MessageRole::offer:
        ports = offer(message, now);
        break;
    case MessageRole::answer:
        ports = answer(message, *judged.round, judged.by_prack, now);
        break;
    case MessageRole::again:
        ports = again(message, *judged.round, now);
        break;
    case MessageRole::old:
        ports = old(message, *judged.round, now);
        break;
    case MessageRole::none:
    case MessageRole::no_media:
        break;
    }
    if (!ports)
        return ports;
    last_role_ = judged.role;
    if (judged.role != MessageRole::old)
        note_speaker(message);
    return ports;
}

Result<protocol::Ports> Session::without_media(const Message& message, const Now& now)
{
    const Round* const newest = rounds_.newest();
    const Party facing = other(message.speaker());
    protocol::Ports ports;
    for (const Place& place : newest->places) {
        const bool alive = place.stream && place.stream->alive();
        ports.rtp.push_back(alive ? place.stream->ports(facing).pair().rtp.port : 0);
        if (alive && !ports.address)
            ports.address = place.stream->ports(facing).told_address();
    }
    if (!ports.address) {
        auto address = told_address(message);
        if (!address)
            return std::move(address).error();
        ports.address = *address;
    }
    if (Round* round = rounds_.find(message.key.from, message.key.cseq))
        note_reply(message, *round, now);
    else
        note_to_tag(message);
    if (message.speaker() == Party::callee && !message.update.user_agent.empty())
        callee_ua_ = message.update.user_agent;
    last_role_ = MessageRole::no_media;
    return ports;
}

/// A reply without a to_tag, and a request, say nothing about who answered.
void Session::note_to_tag(const Message& message)
{
    if (message.key.is_reply() && message.key.has_to_tag() && to_tag_ == no_tag)
        to_tag_ = tags_.note(message.key.from == caller_tag ? message.update.to_tag
                                                            : message.update.from_tag);
}

void Session::note_reply(const Message& message, Round& round, const Now& now)
{
    if (!message.key.is_reply() || !message.key.has_to_tag())
        return;
    if (round.first_reply == no_tag)
        round.first_reply = tags_.note(message.update.to_tag);
    if (round.forms_dialog && !answered_time_)
        answered_time_ = now.wall;
    note_to_tag(message);
}

void Session::note_speaker(const Message& message)
{
    std::string& user_agent = message.speaker() == Party::caller ? caller_ua_ : callee_ua_;
    if (!message.update.user_agent.empty() && user_agent != message.update.user_agent)
        user_agent = message.update.user_agent;
    if (!message.update.signaling.username.empty())
        username_ = message.update.signaling.username;
    for (const Party party : both_parties) {
        if (message.signaling[party])
            signaling_[party] = message.signaling[party];
    }
    // A fork that goes on negotiating was not too late after all.
    tags_.forget_late_fork(tags_.find(message.key.from == caller_tag ? message.update.to_tag
                                                                     : message.update.from_tag));
}

bool Session::forget_late_fork(const protocol::Remove& remove) noexcept
{
    const bool by_callee = remove.from_tag != from_tag();
    return tags_.forget_late_fork(tags_.find(by_callee ? remove.from_tag : remove.to_tag));
}

bool Session::any_alive() const noexcept
{
    return std::any_of(streams_.begin(), streams_.end(),
                       [](const auto& stream) { return stream->alive(); });
}

bool Session::is_own_port(const net::Endpoint& endpoint) const noexcept
{
    return std::any_of(streams_.begin(), streams_.end(), [&](const auto& stream) {
        return stream->alive() && stream->owns(endpoint);
    });
}

void Session::set_signalled(Stream& stream, Party party, const net::Endpoint& endpoint) noexcept
{
    const auto reachable = [&](std::uint32_t port) {
        if (endpoint.port == 0 || port > 65535)
            return false;
        const net::Endpoint target{endpoint.address, static_cast<net::Port>(port)};
        return net::is_routable(target.address, shared_.rules.routable_private_ranges) &&
               !is_own_port(target) && !stream.owns(target) && !shared_.ports.is_control(target);
    };
    stream.set_signalled(party, endpoint, reachable(endpoint.port), reachable(endpoint.port + 1U));
}

/// Streams that ended without ever having been answered leave no trace.
void Session::drop_traceless() noexcept
{
    std::erase_if(streams_, [&](const std::unique_ptr<Stream>& stream) {
        if (stream->alive() || stream->was_answered())
            return false;
        rounds_.forget(*stream);
        std::replace(answered_.begin(), answered_.end(), stream.get(),
                     static_cast<Stream*>(nullptr));
        return true;
    });
}

// Timers.

bool Session::waits_for_answer(const Stream& stream) noexcept
{
    return stream.alive() && stream.standing() != Stream::Standing::confirmed;
}

/// Of a stream without a final answer: what was offered together with it shares its time.
TimePoint Session::answer_deadline(const Stream& stream) const noexcept
{
    TimePoint last_sign = TimePoint::min();
    for (const auto& each : streams_) {
        if (waits_for_answer(*each) && each->offered() == stream.offered())
            last_sign = std::max(last_sign, each->last_sign_of_offer());
    }
    return after(last_sign, shared_.rules.answer_timeout);
}

TimePoint Session::answer_deadline() const noexcept
{
    TimePoint first = TimePoint::max();
    for (const auto& stream : streams_) {
        if (waits_for_answer(*stream))
            first = std::min(first, answer_deadline(*stream));
    }
    return first;
}

TimePoint Session::empty_deadline() const noexcept
{
    if (any_alive())
        return TimePoint::max();
    return after(empty_since_,
                 confirmed_ ? shared_.rules.on_hold_timeout : shared_.rules.answer_timeout);
}

TimePoint Session::duration_deadline() const noexcept
{
    return started_ ? after(started_->mono, shared_.rules.max_session_duration) : TimePoint::max();
}

TimePoint Session::next_deadline(TimePoint now) const noexcept
{
    TimePoint next = std::min({duration_deadline(), answer_deadline(), empty_deadline()});
    for (const auto& stream : streams_)
        next = std::min(next, stream->deadline());
    // Packets do not come here, and the first ones of a leg start its idle timer.
    const Rules& rules = shared_.rules;
    if (any_alive())
        next = std::min({next, after(now, rules.idle_timeout), after(now, rules.stream_timeout)});
    return next;
}

bool Session::expire(const Now& now)
{
    if (duration_deadline() <= now.mono)
        return true;
    bool timed_out = false;
    for (const auto& stream : streams_) {
        if (const auto timeout = stream->due(now.mono)) {
            stream->end(timeout->end, now.mono, timeout->waited);
            timed_out = true;
        }
        stream->forget_silent_rtcp(now.mono);
    }
    timed_out |= end_unanswered(now.mono);
    drop_traceless();
    if (any_alive())
        return false;
    return timed_out || empty_deadline() <= now.mono;
}

bool Session::end_unanswered(TimePoint now) noexcept
{
    bool ended = false;
    while (answer_deadline() <= now) {
        const auto due = std::find_if(streams_.begin(), streams_.end(), [&](const auto& stream) {
            return waits_for_answer(*stream) && answer_deadline(*stream) <= now;
        });
        const TimePoint offered = (*due)->offered();
        for (const auto& stream : streams_) {
            if (waits_for_answer(*stream) && stream->offered() == offered)
                end_unanswered(*stream, now);
        }
        ended = true;
    }
    return ended;
}

void Session::end_unanswered(Stream& stream, TimePoint now) noexcept
{
    if (stream.standing() == Stream::Standing::proposed)
        stream.end(Stream::End::silent, now);
    else
        stream.end(stream.does_ice() ? Stream::End::unselected_ice : Stream::End::no_traffic, now,
                   shared_.rules.answer_timeout);
}

void Session::close(TimePoint now) noexcept
{
    for (const auto& stream : streams_)
        stream->end(stream->was_answered() ? Stream::End::closed : Stream::End::silent, now);
}

} // namespace mediaproxy::session
