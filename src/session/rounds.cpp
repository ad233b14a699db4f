// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/rounds.hpp"

#include <algorithm>
#include <utility>

namespace mediaproxy::session
{

bool Round::has(const Stream& stream) const noexcept
{
    return std::any_of(places.begin(), places.end(),
                       [&](const Place& place) { return place.stream == &stream; });
}

// The rows of the rounds table, in their order; the first that fits counts. Messages without media
// do not come here.
Rounds::Judgement Rounds::judge(const MessageKey& key, const Tags& tags) noexcept
{
    Round* const last = newest();
    const bool unanswered_1xx = last && last->reliable_1xx && last->answer == Round::Answer::none;
    if (unanswered_1xx && !key.is_reply() && key.speaker != last->offerer)
        return {MessageRole::answer, last, true};

    if (tags.is_newer(key.from, key.cseq))
        return {MessageRole::offer};

    Round* const round = find(key.from, key.cseq);
    if (!round)
        return {};

    const bool answers = key.speaker != round->offerer;
    if (key.is_reply() && round->first_reply != no_tag && key.to != round->first_reply)
        return {MessageRole::old, round};
    if (round == last)
        return {answers ? MessageRole::answer : MessageRole::again, round};
    if (answers && round->answer == Round::Answer::none && is_newest_of_its_owner(*round))
        return {MessageRole::answer, round};
    const bool first_final = key.is_reply() && key.has_to_tag() && round->first_reply == no_tag;
    if (answers && first_final && later_ran_elsewhere(*round, key.to))
        return {MessageRole::answer, round};
    return {MessageRole::old, round};
}

Round* Rounds::find(TagId from, std::uint32_t cseq) noexcept
{
    const auto found = std::find_if(kept_.rbegin(), kept_.rend(),
                                    [&](const Round& round) { return round.is(from, cseq); });
    return found == kept_.rend() ? nullptr : &*found;
}

Round& Rounds::open(Round round)
{
    if (kept_.size() == most)
        kept_.erase(kept_.begin());
    kept_.push_back(std::move(round));
    return kept_.back();
}

void Rounds::forget(const Stream& stream) noexcept
{
    for (Round& round : kept_) {
        for (Place& place : round.places) {
            if (place.stream == &stream)
                place.stream = nullptr;
        }
    }
}

bool Rounds::is_newest_of_its_owner(const Round& round) const noexcept
{
    const Round* const after_it = &round + 1;
    return std::none_of(after_it, kept_.data() + kept_.size(),
                        [&](const Round& later) { return later.owner == round.owner; });
}

bool Rounds::later_ran_elsewhere(const Round& round, TagId dialog) const noexcept
{
    const Round* const after_it = &round + 1;
    return std::all_of(after_it, kept_.data() + kept_.size(), [&](const Round& later) {
        return later.dialog != no_tag && later.dialog != dialog;
    });
}

} // namespace mediaproxy::session
