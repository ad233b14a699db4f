// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/relay_pool.hpp"

#include <algorithm>
#include <cassert>

namespace mediaproxy::dispatcher
{

RelayPool::RelayPool(Balancing balancing, const SessionDirectory& directory)
    : balancing_(balancing), directory_(directory)
{
}

RelayId RelayPool::know(std::string_view name, TimePoint now)
{
    const auto [found, added] =
        by_name_.try_emplace(std::string(name), static_cast<RelayId>(relays_.size()));
    if (added)
        relays_.push_back({std::string(name), nullptr, now});
    return found->second;
}

std::optional<RelayId> RelayPool::find(std::string_view name) const noexcept
{
    const auto found = by_name_.find(std::string(name));
    return found == by_name_.end() ? std::nullopt : std::optional(found->second);
}

RelayId RelayPool::add(RelayPeer& peer, TimePoint now)
{
    const RelayId id = know(peer.name(), now);
    assert(!relays_[id].peer);
    relays_[id].peer = &peer;
    connected_.push_back(&peer);
    return id;
}

void RelayPool::remove(RelayPeer& peer, TimePoint now)
{
    const auto id = find(peer.name());
    if (!id || relays_[*id].peer != &peer)
        return;
    relays_[*id].peer = nullptr;
    relays_[*id].away_since = now;
    std::erase(connected_, &peer);
}

std::optional<TimePoint> RelayPool::away_since(RelayId id) const noexcept
{
    return relays_[id].peer ? std::nullopt : std::optional(relays_[id].away_since);
}

std::size_t RelayPool::load(RelayId id) const
{
    return std::max(relays_[id].peer->session_count(), directory_.active_count(id));
}

void RelayPool::choose(std::string_view media_relay, net::Family family,
                       std::vector<RelayId>& chosen)
{
    chosen.clear();
    for (RelayId id = 0; id < relays_.size(); ++id) {
        const RelayPeer* const peer = relays_[id].peer;
        if (peer && peer->state() == RelayPeer::State::active &&
            (family == net::Family::none || peer->serves(family)))
            chosen.push_back(id);
    }
    if (chosen.size() < 2)
        return;
    const auto first = static_cast<std::ptrdiff_t>(turn_++ % chosen.size());
    std::rotate(chosen.begin(), chosen.begin() + first, chosen.end());
    if (balancing_ == Balancing::least_sessions)
        std::stable_sort(chosen.begin(), chosen.end(),
                         [&](RelayId a, RelayId b) { return load(a) < load(b); });
    if (media_relay.empty())
        return;
    const auto preferred = std::find_if(chosen.begin(), chosen.end(), [&](RelayId id) {
        return relays_[id].peer->is_called(media_relay);
    });
    if (preferred != chosen.end())
        std::rotate(chosen.begin(), preferred, preferred + 1);
}

} // namespace mediaproxy::dispatcher
