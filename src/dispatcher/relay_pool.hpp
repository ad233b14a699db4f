// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/time.hpp"
#include "dispatcher/relay_peer.hpp"
#include "dispatcher/session_directory.hpp"

namespace mediaproxy::dispatcher
{

/// All relays that the dispatcher has heard of by name, and who of them is connected; chooses where
/// a new session is tried. [core thread, no I/O]
class RelayPool
{
public:
    enum class Balancing { round_robin, least_sessions };
    RelayPool(Balancing balancing, const SessionDirectory& directory);

    /// The number of that name, a new one when it was never heard.
    RelayId know(std::string_view name, TimePoint now);
    std::optional<RelayId> find(std::string_view name) const noexcept;
    const std::string& name(RelayId id) const noexcept { return relays_[id].name; }
    std::size_t known() const noexcept { return relays_.size(); }

    /// Borrowed until remove(). There must be none of that name.
    RelayId add(RelayPeer& peer, TimePoint now);
    void remove(RelayPeer& peer, TimePoint now);
    /// Null when it is away.
    RelayPeer* peer(RelayId id) const noexcept
    {
        return id < relays_.size() ? relays_[id].peer : nullptr;
    }
    const std::vector<RelayPeer*>& connected() const noexcept { return connected_; }
    /// Since when the relay is away; nothing when it is connected.
    std::optional<TimePoint> away_since(RelayId id) const noexcept;

    /// Where to try a new session, in order: the preferred relay, then the others by the balancing
    /// policy; only active ones that serve the family (none: any).
    void choose(std::string_view media_relay, net::Family family, std::vector<RelayId>& chosen);

private:
    struct Relay {
        std::string name;
        RelayPeer* peer = nullptr;
        TimePoint away_since{};
    };
    std::size_t load(RelayId id) const;

    Balancing balancing_;
    const SessionDirectory& directory_;
    std::vector<Relay> relays_;
    std::unordered_map<std::string, RelayId> by_name_;
    std::vector<RelayPeer*> connected_;
    std::size_t turn_ = 0;
};

} // namespace mediaproxy::dispatcher
