// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/state_store.hpp"
#include "dispatcher/relay_pool.hpp"
#include "dispatcher/session_directory.hpp"

namespace mediaproxy::dispatcher
{

/// What the store holds of one session: its fields, each with its length in front, so that any
/// bytes may be in them.
std::string encode_session(const Session& session, std::string_view relay);
struct SavedSession {
    Session session; ///< `relay` is not set
    std::string relay;
};
/// Nothing when the text is of another version, or damaged.
std::optional<SavedSession> decode_session(std::string_view text);
/// The key of a session in the store.
std::string make_key(std::string_view call_id, std::string_view from_tag);

/// Keeps the directory's sessions in the state store. What changed is saved together a few
/// milliseconds later, so that a call that comes and goes at once costs nothing. [core thread]
class SavedState
{
public:
    /// `store` null: nothing is kept.
    SavedState(asio::io_context& io, StateStore* store, const RelayPool& pool);

    /// Fills the directory with what an earlier run left; the relays are known, and away.
    void load(SessionDirectory& directory, RelayPool& pool, const Now& now);

    void on_changed(Session& session);
    /// The same, not later but now.
    void save(Session& session);
    /// Call before it is erased from the directory.
    void on_erased(Session& session);
    /// Saves what waits.
    void flush();

private:
    void take_out(Session& session);

    StateStore* store_;
    const RelayPool& pool_;
    std::vector<Session*> unsaved_;
    asio::steady_timer timer_;
    bool armed_ = false;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); ///< asked by a handler in flight
};

} // namespace mediaproxy::dispatcher
