// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "protocol/command.hpp"
#include "session/tags.hpp"
#include "session/types.hpp"

namespace mediaproxy::session
{

/// What a message with media is to the session it belongs to.
enum class MessageRole : std::uint8_t {
    none,     ///< nothing came yet
    no_media, ///< a 200 to INVITE without SDP
    offer,
    answer,
    again, ///< the offer once more, perhaps with other addresses
    old,   ///< late, another fork's, or of an older round: changes nothing
};

/// One m= line of a round.
struct Place {
    Stream* stream = nullptr; ///< null: port 0, or the stream is gone for good
    bool held_before = false; ///< was the offerer's side on hold before this offer?
    bool holds = false;       ///< what this offer made of it
    bool named = false;       ///< an answer of this round has named an address
    bool forked = false;      ///< answers of this round have named more than one
};

/// An offer and what has answered it (RFC 3264), known by tag and CSeq.
struct Round {
    enum class Answer : std::uint8_t { none, early, final };

    std::uint32_t cseq = 0;
    std::optional<std::uint32_t> prack_cseq; ///< names the round too (RFC 3262)
    TagId owner = caller_tag;                ///< from_tag of the message that opened it
    TagId dialog = no_tag;      ///< the callee's tag when the round ran inside a dialog
    TagId first_reply = no_tag; ///< to_tag of the first reply that had one
    Party offerer = Party::caller;
    Answer answer = Answer::none;
    bool forms_dialog = false;     ///< opened by a request without to_tag, or by a reply
    bool reliable_1xx = false;     ///< the offer came in a reply without to_tag
    bool replaced = false;         ///< unanswered, and its owner has made another offer
    std::uint64_t fingerprint = 0; ///< of the offered media
    std::vector<Place> places;

    bool is(TagId tag, std::uint32_t number) const noexcept
    {
        return owner == tag && (cseq == number || prack_cseq == number);
    }
    bool has(const Stream& stream) const noexcept;
};

/// What a round is told apart by, of one message.
struct MessageKey {
    protocol::MessageType type = protocol::MessageType::request;
    Party speaker = Party::caller;
    TagId from = caller_tag; ///< unknown_tag: this tag is new
    TagId to = no_tag;
    std::uint32_t cseq = 0;

    bool is_reply() const noexcept { return type == protocol::MessageType::reply; }
    bool has_to_tag() const noexcept { return to != no_tag; }
    /// A reply with a to_tag, or a request.
    bool is_final() const noexcept { return !is_reply() || has_to_tag(); }
};

/// The last rounds of a session, and the rules by which a message belongs to one of them.
class Rounds
{
public:
    struct Judgement {
        MessageRole role = MessageRole::none; ///< none: of an unknown round that is not newer
        Round* round = nullptr;               ///< null for an offer
        bool by_prack = false;                ///< the answer's CSeq names the round too
    };
    Judgement judge(const MessageKey& key, const Tags& tags) noexcept;

    Round* find(TagId from, std::uint32_t cseq) noexcept;
    /// Forgets the oldest round when there are too many.
    Round& open(Round round);
    Round* newest() noexcept { return kept_.empty() ? nullptr : &kept_.back(); }
    std::vector<Round>& all() noexcept { return kept_; } ///< oldest first
    const std::vector<Round>& all() const noexcept { return kept_; }
    /// The stream is about to go.
    void forget(const Stream& stream) noexcept;

private:
    static constexpr std::size_t most = 4;

    bool is_newest_of_its_owner(const Round& round) const noexcept;
    bool later_ran_elsewhere(const Round& round, TagId dialog) const noexcept;

    std::vector<Round> kept_;
};

} // namespace mediaproxy::session
