// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/owners.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"

namespace mediaproxy::relay
{

namespace
{

constexpr std::size_t letter_overhead = 128; ///< of memory, roughly

std::size_t size_of(const Letter& letter) noexcept
{
    return letter.json.size() + letter.record_id.size() + letter_overhead;
}

} // namespace

Owners::Owners(CallStore* store, std::size_t most)
    : store_(store && store->keeps() ? store : nullptr), owners_(1), most_(most)
{
}

Owners::Id Owners::id_of(std::string_view name)
{
    const auto found = std::find_if(owners_.begin() + 1, owners_.end(),
                                    [&](const Owner& owner) { return owner.name == name; });
    if (found != owners_.end())
        return static_cast<Id>(found - owners_.begin());
    owners_.emplace_back().name = name;
    return static_cast<Id>(owners_.size() - 1);
}

const std::string& Owners::name(Id id) const
{
    return owners_[resolve(id)].name;
}

void Owners::bequeath(Id id, Id heir)
{
    if (id == heir || resolve(heir) == id)
        return;
    Owner& owner = owners_[id];
    Owner& next = owners_[resolve(heir)];
    const TimePoint now = BootClock::now();
    for (Letter& letter : owner.letters)
        hand_over(owner, letter, next, now);
    owner.letters.clear();
    owner.heir = heir;
    ++changes_;
}

/// The place in `owner` is left to the caller.
void Owners::hand_over(Owner& owner, Letter& letter, Owner& next, TimePoint now)
{
    set_way(owner, letter, Letter::Way::unsent);
    --owner.unsent;
    ++next.unsent;
    letter.since = now; // they are in the order of their times
    next.letters.push_back(std::move(letter));
    save(next, next.letters.back());
}

void Owners::revoke(Id id)
{
    if (std::exchange(owners_[id].heir, 0) != 0)
        ++changes_;
}

/// What is on its way to an heir stays with it: two dispatchers would have the record.
void Owners::take_back(Id id)
{
    Owner& own = owners_[resolve(id)];
    const TimePoint now = BootClock::now();
    for (Owner& owner : owners_) {
        if (&owner == &own)
            continue;
        for (auto letter = owner.letters.begin(); letter != owner.letters.end();) {
            if (letter->way != Letter::Way::unsent || &owners_[resolve(letter->of)] != &own) {
                ++letter;
                continue;
            }
            hand_over(owner, *letter, own, now);
            letter = owner.letters.erase(letter);
        }
    }
}

void Owners::abandon(Id id)
{
    for (Owner& owner : owners_) {
        if (owner.heir != id)
            continue;
        owner.heir = owners_[id].heir;
        ++changes_;
    }
}

std::vector<Owners::Id> Owners::behind(Id id) const
{
    std::vector<Id> found;
    for (Id first = 1; first < owners_.size(); ++first) {
        Id each = first;
        while (each != 0 && each != id)
            each = owners_[each].heir;
        if (each == id)
            found.push_back(first);
    }
    return found;
}

Owners::Id Owners::resolve(Id id) const noexcept
{
    if (id >= owners_.size())
        return 0;
    while (owners_[id].heir != 0)
        id = owners_[id].heir;
    return id;
}

void Owners::put(Id id, std::string record_id, std::string json, Letter::Way way)
{
    Owner& owner = owners_[resolve(id)];
    Letter& letter = owner.letters.emplace_back(Letter{std::move(record_id), std::move(json),
                                                       Letter::Way::unsent, store_ == nullptr,
                                                       BootClock::now(), 0, id});
    ++owner.unsent;
    set_way(owner, letter, way);
    ++count_;
    bytes_ += size_of(letter);
    unsaved_ += letter.saved ? 0 : 1;
    if (way != Letter::Way::answered)
        save(owner, letter);
    while (bytes_ > most_) {
        const auto fullest =
            std::max_element(owners_.begin(), owners_.end(), [](const Owner& a, const Owner& b) {
                return a.letters.size() < b.letters.size();
            });
        log::error("dispatcher {}: too many reports wait for it; not delivered: {}", fullest->name,
                   fullest->letters.front().json);
        forget(*fullest, fullest->letters.begin());
    }
}

void Owners::set_way(Owner& owner, Letter& letter, Letter::Way way)
{
    const auto count = [&](int step) {
        const auto change = static_cast<std::size_t>(step);
        owner.unsent += letter.way == Letter::Way::unsent ? change : 0;
        owner.told += letter.way == Letter::Way::told ? change : 0;
    };
    count(-1);
    letter.way = way;
    letter.end = 0;
    count(1);
}

void Owners::forget_sent(Id id)
{
    Owner& owner = owners_[resolve(id)];
    for (Letter& letter : owner.letters)
        set_way(owner, letter, Letter::Way::unsent);
}

bool Owners::acknowledge(Id id, std::string_view record_id)
{
    Owner& owner = owners_[resolve(id)];
    const auto found =
        std::find_if(owner.letters.begin(), owner.letters.end(),
                     [&](const Letter& letter) { return letter.record_id == record_id; });
    if (found == owner.letters.end())
        return false;
    forget(owner, found);
    return true;
}

void Owners::forget_call(std::string_view record_id)
{
    if (store_)
        store_->erase(record_id);
}

void Owners::note_sent(Id id, std::uint64_t bytes) noexcept
{
    for (Letter& letter : owners_[resolve(id)].letters) {
        if (letter.way == Letter::Way::told && letter.end == 0)
            letter.end = bytes;
    }
}

void Owners::drop_arrived(Id id, std::uint64_t bytes)
{
    Owner& owner = owners_[resolve(id)];
    for (auto letter = owner.letters.begin(); owner.told > 0 && letter != owner.letters.end();) {
        const bool sent = letter->way == Letter::Way::told && letter->end != 0;
        if (sent && letter->end <= bytes)
            letter = forget(owner, letter);
        else
            ++letter;
    }
}

void Owners::save(const Owner& owner, Letter& letter)
{
    if (!store_)
        return;
    store_->save_letter(letter.record_id, owner.name, letter.json);
    unsaved_ -= std::exchange(letter.saved, true) ? 0 : 1;
}

/// From the youngest on; those that an earlier call looked at need no second look.
void Owners::save_old(TimePoint limit)
{
    for (Owner& owner : owners_) {
        for (auto letter = owner.letters.rbegin(); letter != owner.letters.rend(); ++letter) {
            if (unsaved_ == 0 || letter->since <= last_limit_)
                break;
            if (!letter->saved && letter->since <= limit)
                save(owner, *letter);
        }
    }
    last_limit_ = limit;
}

void Owners::keep_or_log()
{
    save_old(TimePoint::max());
    for (const Owner& owner : owners_) {
        if (store_ && !owner.letters.empty())
            log::warning("dispatcher {}: not reached; {} reports of ended sessions are kept for it",
                         owner.name, owner.letters.size());
        for (auto letter = owner.letters.begin(); !store_ && letter != owner.letters.end();
             ++letter)
            log::error("dispatcher {}: not reached; the report of an ended session: {}", owner.name,
                       letter->json);
    }
}

std::deque<Letter>::iterator Owners::forget(Owner& owner, std::deque<Letter>::iterator letter)
{
    owner.unsent -= letter->way == Letter::Way::unsent ? 1 : 0;
    owner.told -= letter->way == Letter::Way::told ? 1 : 0;
    bytes_ -= size_of(*letter);
    --count_;
    unsaved_ -= letter->saved ? 0 : 1;
    // Also one that is not saved: the copy of the running call may be.
    forget_call(letter->record_id);
    return owner.letters.erase(letter);
}

} // namespace mediaproxy::relay
