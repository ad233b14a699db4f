// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/owners.hpp"

#include <algorithm>
#include <iterator>

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

Owners::Owners(std::size_t most) : owners_(1), most_(most)
{
}

Owners::Id Owners::id_of(std::string_view name)
{
    const auto found = std::find_if(owners_.begin() + 1, owners_.end(),
                                    [&](const Owner& owner) { return owner.name == name; });
    if (found != owners_.end())
        return static_cast<Id>(found - owners_.begin());
    owners_.push_back({std::string(name), 0, {}});
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
    auto& letters = owners_[id].letters;
    auto& heirs = this->letters(heir);
    std::move(letters.begin(), letters.end(), std::back_inserter(heirs));
    letters.clear();
    owners_[id].heir = heir;
}

void Owners::revoke(Id id)
{
    owners_[id].heir = 0;
}

Owners::Id Owners::resolve(Id id) const noexcept
{
    if (id >= owners_.size())
        return 0;
    while (owners_[id].heir != 0)
        id = owners_[id].heir;
    return id;
}

void Owners::put(Id id, std::string record_id, std::string json)
{
    Owner& owner = owners_[resolve(id)];
    owner.letters.push_back({std::move(record_id), std::move(json)});
    ++count_;
    bytes_ += size_of(owner.letters.back());
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

void Owners::drop_first(Id id)
{
    Owner& owner = owners_[resolve(id)];
    forget(owner, owner.letters.begin());
}

void Owners::log_undelivered()
{
    for (const Owner& owner : owners_) {
        for (const Letter& letter : owner.letters)
            log::error("dispatcher {}: not reached; the report of an ended session: {}", owner.name,
                       letter.json);
    }
}

void Owners::forget(Owner& owner, std::deque<Letter>::iterator letter)
{
    bytes_ -= size_of(*letter);
    --count_;
    owner.letters.erase(letter);
}

} // namespace mediaproxy::relay
