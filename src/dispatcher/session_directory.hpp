// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/time.hpp"
#include "protocol/command.hpp"
#include "protocol/session_report.hpp"

namespace mediaproxy::dispatcher
{

/// A relay that the dispatcher has heard of, connected or not: its place in the RelayPool.
using RelayId = std::uint32_t;

/// What the dispatcher knows of one call: enough to find its relay, and to write a record when the
/// relay lost it.
struct Session {
    enum class State : std::uint8_t {
        active,
        removing, ///< the relay was asked for its statistics
        expired,  ///< ended on the relay; the proxy has not removed it yet
    };
    std::uint64_t id = 0; ///< never used again
    std::string call_id, from_tag, to_tag;
    std::string from_uri, to_uri, caller_ua, callee_ua, username, dialog_id;
    RelayId relay = 0;
    std::uint32_t caller_cseq = 0, callee_cseq = 0; ///< highest seen of each
    State state = State::active;
    bool offered_by_caller = true;    ///< who sent the first media
    bool answered = false;            ///< by a 200: there is a dialog
    WallTime created{};               ///< for the store
    TimePoint created_mono{};         ///< for "older than the question"
    std::optional<double> start_time; ///< epoch seconds of the first answer with media
    WallTime expired_at{}; ///< or when the proxy ended it, while its relay is away; 0: not known
    std::list<Session*>::iterator expired_place{}; ///< of the directory, while expired

    // Of SavedState: whether and where it waits to be saved.
    bool saved = false;
    std::optional<std::uint32_t> unsaved_place;
};

/// A new session from its first update.
Session make_session(const protocol::Update& update, RelayId relay, const Now& now);
/// What an update that the relay accepted tells; true when something worth saving changed.
bool apply_update(Session& session, const protocol::Update& update, const Now& now);
/// A session that the relay listed, of which nothing else is known.
Session make_session(const protocol::SessionReport& report, RelayId relay, const Now& now);
/// The record of a session whose relay has lost it. It ended now, unless it says when.
protocol::SessionReport make_lost_report(const Session& session, const Now& now);

/// A relay of MediaProxy 4 does not say when its streams were offered: those that the session began
/// with were when it came.
void date_first_streams(protocol::SessionReport& report, const Session& session);

/// All sessions by (call_id, from_tag), found by either tag of a message (PROTOCOLS section 2).
/// Pointers stay good until the session is erased. No lookup costs more than the sessions of one
/// Call-ID. [core thread, no I/O]
class SessionDirectory
{
public:
    SessionDirectory();

    /// The session whose from_tag is `from_tag`, else the one whose from_tag is `to_tag`.
    Session* find(std::string_view call_id, std::string_view from_tag,
                  std::string_view to_tag) noexcept;
    /// By the session's own from_tag.
    Session* find_exact(std::string_view call_id, std::string_view from_tag) noexcept
    {
        return find(call_id, from_tag, {});
    }
    /// The relay of the living sessions of a Call-ID.
    std::optional<RelayId> relay_of(std::string_view call_id) const noexcept;

    /// Gives it its id. One of the same key must be erased before.
    Session& add(Session session);
    void erase(Session& session);
    void set_state(Session& session, Session::State state, const Now& now);

    std::size_t active_count() const noexcept { return active_; }
    std::size_t active_count(RelayId relay) const noexcept
    {
        return relay < active_at_.size() ? active_at_[relay] : 0;
    }
    /// Walks over all of a relay; `each` must not add or erase. For connects, not for requests.
    template <class Each>
    void for_each_at(RelayId relay, Each each)
    {
        for (auto& [call_id, session] : sessions_) {
            if (session->relay == relay)
                each(*session);
        }
    }
    /// Expired sessions whose cleanup is due, oldest first; erase each. Null: none.
    Session* oldest_expired_before(WallTime limit);

private:
    using Sessions = std::unordered_multimap<std::string_view, std::unique_ptr<Session>>;
    Sessions sessions_; ///< keyed by the session's own call_id
    void count(const Session& session, int change);

    std::uint64_t last_id_ = 0;
    std::size_t active_ = 0;
    std::vector<std::size_t> active_at_;
    std::list<Session*> ended_; ///< expired sessions, oldest first
};

} // namespace mediaproxy::dispatcher
