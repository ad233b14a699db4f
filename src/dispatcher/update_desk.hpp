// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "dispatcher/books.hpp"
#include "dispatcher/deadline_queue.hpp"
#include "dispatcher/owned_request.hpp"
#include "dispatcher/proxy_server.hpp"
#include "dispatcher/removal_desk.hpp"

namespace mediaproxy::dispatcher
{

/// Serves `update`: finds the session's relay, or the relay for a new session, and tries the next
/// one when that fails or is silent (PROTOCOLS section 2, dispatcher rules). [core thread]
class UpdateDesk
{
public:
    UpdateDesk(asio::io_context& io, Books& books, ProxyServer& server, RemovalDesk& removals,
               Milliseconds attempt_timeout);
    ~UpdateDesk();

    void handle(const protocol::Request& request, Ticket ticket);
    /// The proxy was told `error`.
    void on_late(std::uint64_t matter);
    /// A session that is being made was removed by the proxy: it ends as soon as it exists. False:
    /// there is none.
    bool cancel(const protocol::Remove& remove);

private:
    enum class Kind {
        known,  ///< in the directory: its own relay and no other
        hinted, ///< not known, but a relay listed it
        fresh,  ///< new, at any relay
    };
    struct Call;

    void handle(const protocol::Request& request, const protocol::Update& update, Ticket ticket);
    void refuse_unreadable(const protocol::Request& request, Ticket ticket);
    /// Fills kind and candidates; false: to be answered `error`.
    bool find_relays(Call& call, const protocol::Request& request, const protocol::Update& update);
    Call& open_call();
    Call* call_of(std::uint64_t token);
    std::uint64_t token_of(const Call& call) const noexcept;
    void ask(Call& call);
    void go_on_later(Call& call);
    const protocol::Update& update_of(Call& call);
    void on_answer(std::uint64_t token, Result<protocol::Ports> result);
    bool acceptable(Call& call, protocol::Ports& ports);
    void succeed(Call& call, RelayId relay, const protocol::Ports& ports);
    void fail(Call& call);
    void conclude(Call& call);
    void release(Call& call);
    void on_late_answer(Call& call, RelayId relay, const Result<protocol::Ports>& result);
    /// Removes what was made there, unless it became the session.
    void discard_unused(Call& call, RelayId relay);
    void on_attempt_due(std::uint64_t token);
    Session* record_success(Call& call, RelayId relay);

    Books& books_;
    ProxyServer& server_;
    RemovalDesk& removals_;
    std::deque<Call> calls_;
    std::vector<std::uint32_t> free_calls_;
    /// Sessions that are being made and did not get their answer at once, by Call-ID.
    std::unordered_map<std::string_view, Call*> in_the_making_;
    DeadlineQueue<std::uint64_t> attempts_;
    std::string line_; ///< for an answer
};

} // namespace mediaproxy::dispatcher
