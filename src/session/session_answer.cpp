// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include "session/message.hpp"

namespace mediaproxy::session
{

/// What the message says must be what the round's streams are.
Result<void> Session::check(const Message& message, const Round& round) const
{
    for (std::size_t i = 0; i < std::min(round.places.size(), message.media().size()); ++i) {
        const protocol::MediaLine& line = message.media()[i];
        const Stream* const stream = round.places[i].stream;
        if (!stream || !stream->alive())
            continue;
        if (stream->media_type() != line.type)
            return invalid("media line " + std::to_string(i + 1) + " is " + std::string(line.type) +
                           ", but was offered as " + stream->media_type());
        if (!line.disabled() && stream->family() != line.address.address.family())
            return Error{Error::Code::unsupported, "one side has IPv4, the other IPv6"};
    }
    return {};
}

Result<protocol::Ports> Session::answer(const Message& message, Round& round, bool by_prack,
                                        const Now& now)
{
    adopt_live_streams(round);
    if (auto fits = check(message, round); !fits)
        return fits.error();
    auto fallback = told_address(message);
    if (!fallback)
        return std::move(fallback).error();

    if (by_prack) {
        round.prack_cseq = message.key.cseq;
        tags_.count(message.key.from, message.key.cseq);
        if (round.dialog == no_tag && message.dialog() != no_tag)
            round.dialog = tags_.note(message.key.from == caller_tag ? message.update.to_tag
                                                                     : message.update.from_tag);
    }
    const bool final = message.key.is_final();
    const bool first_final = final && round.answer != Round::Answer::final;
    for (std::size_t i = 0; i < round.places.size(); ++i) {
        const protocol::MediaLine* const line =
            i < message.media().size() ? &message.media()[i] : nullptr;
        Place& place = round.places[i];
        if (!place.stream || !place.stream->alive())
            continue;
        Stream& stream = *place.stream;
        if (line && !line->disabled()) {
            hear(message, *line, place,
                 first_final && place.forked ? Reset::always : Reset::when_changed, now.mono);
            stream.note_answer(final ? Stream::Answer::final : Stream::Answer::early, now.mono);
        } else if (final) {
            const bool was_running = stream.standing() == Stream::Standing::confirmed;
            stream.end(was_running ? Stream::End::closed : Stream::End::rejected, now.mono);
        }
    }
    if (!started_)
        started_ = now;
    if (final) {
        round.answer = Round::Answer::final;
        close_replaced(round, now.mono);
    } else if (round.answer == Round::Answer::none) {
        round.answer = Round::Answer::early;
    }
    note_reply(message, round, now);
    return ports_for(message, round.places, Missing::is_zero, *fallback);
}

/// A fork's or a crossed offer's stream may have been replaced meanwhile: the one that is alive at
/// its place serves then.
void Session::adopt_live_streams(Round& round) noexcept
{
    for (std::size_t i = 0; i < round.places.size(); ++i) {
        Stream* const gone = round.places[i].stream;
        Stream* const live = answered_at(i);
        if (gone && !gone->alive() && live && live->alive() && !round.has(*live) &&
            gone->media_type() == live->media_type())
            round.places[i].stream = live;
    }
}

/// What the speaker says of a line that carries media.
void Session::hear(const Message& message, const protocol::MediaLine& line, Place& place,
                   Reset reset, TimePoint now) noexcept
{
    Stream& stream = *place.stream;
    const Party speaker = message.speaker();
    stream.set_hold(speaker, line.holds() ? Stream::Hold::on : Stream::Hold::off, now);
    stream.set_ice(speaker, line.ice);

    const net::Endpoint known = stream.side(speaker).signalled;
    const net::Endpoint& said = line.address;
    if (is_own_port(said) || (known && said.address.is_unspecified()))
        return;
    const bool was_on_hold_only = known.address.is_unspecified() && known.port == said.port;
    const bool changed = known && known != said && !was_on_hold_only;
    if (known != said)
        set_signalled(stream, speaker, said);
    if (changed && place.named)
        place.forked = true;
    place.named = true;
    if (changed || reset == Reset::always)
        stream.relearn(speaker, said.address, message.signaling[speaker], now);
}

/// The round's streams are the session's now.
void Session::close_replaced(const Round& round, TimePoint now) noexcept
{
    confirmed_ = true;
    answered_.clear();
    answered_.reserve(round.places.size());
    for (const Place& place : round.places)
        answered_.push_back(place.stream);
    const Round& last = *rounds_.newest();
    const bool last_is_open = &last != &round && last.answer != Round::Answer::final;
    for (const auto& stream : streams_) {
        const bool waits =
            stream->standing() == Stream::Standing::proposed ||
            (stream->standing() == Stream::Standing::early && last_is_open && last.has(*stream));
        if (stream->alive() && !waits && !round.has(*stream))
            stream->end(Stream::End::closed, now);
    }
}

Stream* Session::answered_at(std::size_t place) const noexcept
{
    return place < answered_.size() ? answered_[place] : nullptr;
}

Result<protocol::Ports> Session::old(const Message& message, Round& round, const Now& now)
{
    auto fallback = told_address(message);
    if (!fallback)
        return std::move(fallback).error();
    const MessageKey& key = message.key;
    const bool other_fork = key.is_reply() && key.has_to_tag() && round.first_reply != no_tag &&
                            key.to != round.first_reply;
    if (other_fork)
        tags_.remember_late_fork(tags_.note(message.update.to_tag));
    note_reply(message, round, now);
    return ports_for(message, round.places, Missing::is_live_stream, *fallback);
}

} // namespace mediaproxy::session
