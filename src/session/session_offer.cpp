// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>

#include "session/message.hpp"

namespace mediaproxy::session
{

namespace
{

Stream::Hold hold_of(const protocol::MediaLine& line) noexcept
{
    return line.holds() ? Stream::Hold::on : Stream::Hold::off;
}

} // namespace

Result<protocol::Ports> Session::offer(const Message& message, const Now& now)
{
    if (message.key.from == unknown_tag && !tags_.has_room())
        return Error{Error::Code::exhausted, "too many dialog tags"};

    // First everything that may fail: on an error nothing is taken and nothing has changed.
    std::vector<Place> places(message.media().size());
    std::vector<std::unique_ptr<Stream>> fresh;
    for (std::size_t i = 0; i < places.size(); ++i) {
        const protocol::MediaLine& line = message.media()[i];
        if (line.disabled())
            continue;
        places[i].stream = stream_to_keep(message, i, places);
        if (places[i].stream)
            continue;
        auto opened = open_stream(message, line, now.mono);
        if (!opened)
            return std::move(opened).error();
        places[i].stream = opened->get();
        fresh.push_back(std::move(*opened));
    }
    auto fallback = told_address(message, fresh);
    if (!fallback)
        return std::move(fallback).error();

    const TagId owner = tags_.note(message.update.from_tag);
    undo_unanswered_offers(owner, now.mono);
    for (std::size_t i = 0; i < places.size(); ++i)
        propose(message, message.media()[i], places[i], now.mono);
    if (streams_.empty())
        streams_ = std::move(fresh);
    else
        std::move(fresh.begin(), fresh.end(), std::back_inserter(streams_));

    Round round;
    round.cseq = message.key.cseq;
    round.owner = owner;
    round.offerer = message.speaker();
    const bool in_dialog = message.dialog() != no_tag;
    if (in_dialog)
        round.dialog =
            tags_.note(owner == caller_tag ? message.update.to_tag : message.update.from_tag);
    round.forms_dialog = message.key.is_reply() || !message.key.has_to_tag();
    round.reliable_1xx = message.key.is_reply() && !message.key.has_to_tag();
    round.fingerprint = fingerprint(message, places);
    round.places = std::move(places);
    tags_.count(owner, message.key.cseq);
    Round& opened = rounds_.open(std::move(round));
    note_reply(message, opened, now);
    end_orphans(now.mono);
    return ports_for(message, opened.places, Missing::is_zero, *fallback);
}

/// RFC 3264 section 8: a place keeps its stream. That of the last answered set, since an unanswered
/// offer may have been refused; of one that was only answered by a 1xx as long as it fits.
Stream* Session::stream_to_keep(const Message& message, std::size_t place,
                                const std::vector<Place>& taken) const
{
    const auto fits = [&](Stream* stream) {
        return stream && keeps(*stream, message, message.media()[place]) &&
               std::none_of(taken.begin(), taken.end(),
                            [&](const Place& other) { return other.stream == stream; });
    };
    const auto in_round = [&](const Round& round) {
        return place < round.places.size() ? round.places[place].stream : nullptr;
    };
    const std::vector<Round>& rounds = rounds_.all();
    const auto last_answered = std::find_if(rounds.rbegin(), rounds.rend(), [](const Round& round) {
        return round.answer != Round::Answer::none;
    });
    const bool early =
        last_answered != rounds.rend() && last_answered->answer == Round::Answer::early;
    if (early && fits(in_round(*last_answered)))
        return in_round(*last_answered);
    if (confirmed_)
        return fits(answered_at(place)) ? answered_at(place) : nullptr;
    if (early || rounds.empty())
        return nullptr;
    return fits(in_round(rounds.back())) ? in_round(rounds.back()) : nullptr;
}

bool Session::keeps(const Stream& stream, const Message& message,
                    const protocol::MediaLine& line) const noexcept
{
    const net::Endpoint& known = stream.side(message.speaker()).signalled;
    const net::Endpoint& said = line.address;
    if (!stream.alive() || stream.media_type() != line.type ||
        stream.family() != said.address.family())
        return false;
    if (!known || known == said || is_own_port(said))
        return true;
    const bool either_holds = said.address.is_unspecified() || known.address.is_unspecified();
    return either_holds && known.port == said.port;
}

Result<std::unique_ptr<Stream>> Session::open_stream(const Message& message,
                                                     const protocol::MediaLine& line, TimePoint now)
{
    if (streams_.size() >= most_streams)
        return Error{Error::Code::exhausted, "too many streams"};
    PerParty<LocalAddress> local;
    for (const Party party : both_parties) {
        auto address = local_address(message, party);
        if (!address)
            return std::move(address).error();
        local[party] = *address;
    }
    return Stream::open(shared_, line.type, local, now);
}

/// All streams of a session share the local address: a reply has room for one.
Result<LocalAddress> Session::local_address(const Message& message, Party party) const
{
    for (const auto& stream : streams_) {
        if (stream->alive() && stream->family() == message.family) {
            const LentPorts& ports = stream->ports(party);
            return LocalAddress{ports.pair().rtp.address, ports.told_address()};
        }
    }
    const net::Address& told = message.signaling[party];
    return shared_.ports.local_address(message.family, told ? told : signaling_[party]);
}

void Session::propose(const Message& message, const protocol::MediaLine& line, Place& place,
                      TimePoint now) noexcept
{
    if (!place.stream)
        return;
    Stream& stream = *place.stream;
    const Party speaker = message.speaker();
    place.held_before = stream.side(speaker).on_hold;
    place.holds = line.holds();
    stream.set_hold(speaker, hold_of(line), now);
    stream.set_ice(speaker, line.ice);
    stream.note_offer(now);
    const net::Endpoint& known = stream.side(speaker).signalled;
    const bool replaceable = !known || known.address.is_unspecified();
    if (replaceable && !is_own_port(line.address))
        set_signalled(stream, speaker, line.address);
}

/// The owner has made another offer: what the unanswered ones said of holding was refused.
void Session::undo_unanswered_offers(TagId owner, TimePoint now) noexcept
{
    std::vector<Round>& rounds = rounds_.all();
    for (auto round = rounds.rbegin(); round != rounds.rend(); ++round) {
        if (round->owner != owner || round->answer != Round::Answer::none || round->replaced)
            continue;
        round->replaced = true;
        for (const Place& place : round->places) {
            if (!place.stream || place.stream->side(round->offerer).on_hold != place.holds)
                continue;
            place.stream->set_hold(round->offerer,
                                   place.held_before ? Stream::Hold::on : Stream::Hold::off, now);
        }
    }
}

/// Streams that were proposed by offers which nobody will answer any more end silently.
void Session::end_orphans(TimePoint now) noexcept
{
    for (const auto& stream : streams_) {
        const auto wants_it = [&](const Round& round) {
            return !round.replaced && round.has(*stream);
        };
        const std::vector<Round>& rounds = rounds_.all();
        if (stream->standing() == Stream::Standing::proposed &&
            std::none_of(rounds.begin(), rounds.end(), wants_it))
            stream->end(Stream::End::silent, now);
    }
    drop_traceless();
}

/// The offerer again: a retransmission, or the offer with other addresses.
Result<protocol::Ports> Session::again(const Message& message, Round& round, const Now& now)
{
    auto fallback = told_address(message);
    if (!fallback)
        return std::move(fallback).error();
    const std::uint64_t said = fingerprint(message, round.places);
    if (said == round.fingerprint) {
        note_reply(message, round, now);
        return ports_for(message, round.places, Missing::is_zero, *fallback);
    }
    if (auto fits = check(message, round); !fits)
        return fits.error();
    for (std::size_t i = 0; i < std::min(round.places.size(), message.media().size()); ++i) {
        Place& place = round.places[i];
        const protocol::MediaLine& line = message.media()[i];
        if (!place.stream || !place.stream->alive() || line.disabled())
            continue;
        place.named = place.forked = false; // those flags speak of the answers
        place.holds = line.holds();
        place.stream->note_offer(now.mono);
        Place offerers{place.stream};
        hear(message, line, offerers, Reset::when_changed, now.mono);
    }
    round.fingerprint = said;
    round.answer = Round::Answer::none;
    round.first_reply = no_tag;
    round.reliable_1xx = message.key.is_reply() && !message.key.has_to_tag();
    note_reply(message, round, now);
    return ports_for(message, round.places, Missing::is_zero, *fallback);
}

/// FNV-1a over what the lines say. One of our own ports stands for what is stored, so that an
/// INVITE that comes back to us is the same one.
std::uint64_t Session::fingerprint(const Message& message,
                                   const std::vector<Place>& places) const noexcept
{
    std::uint64_t hash = 0xcbf29ce484222325U;
    const auto mix = [&](std::uint8_t byte) {
        hash ^= byte;
        hash *= 0x100000001b3U;
    };
    for (std::size_t i = 0; i < message.media().size(); ++i) {
        const protocol::MediaLine& line = message.media()[i];
        const Stream* const stream = i < places.size() ? places[i].stream : nullptr;
        const bool spirals = !line.disabled() && stream && is_own_port(line.address);
        const net::Endpoint& said =
            spirals ? stream->side(message.speaker()).signalled : line.address;
        for (const char letter : line.type)
            mix(static_cast<std::uint8_t>(letter));
        mix(static_cast<std::uint8_t>(said.address.family()));
        for (const std::uint8_t byte : said.address.bytes())
            mix(byte);
        mix(static_cast<std::uint8_t>(said.port & 0xff));
        mix(static_cast<std::uint8_t>(said.port >> 8));
        mix(static_cast<std::uint8_t>(line.direction));
        mix(line.ice ? 1 : 0);
    }
    return hash;
}

} // namespace mediaproxy::session
