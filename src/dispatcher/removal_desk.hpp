// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dispatcher/books.hpp"
#include "dispatcher/deadline_queue.hpp"
#include "dispatcher/proxy_server.hpp"

namespace mediaproxy::dispatcher
{

/// Serves `remove`, and brings removals to relays that were away when the proxy asked for them
/// (PROTOCOLS section 2). [core thread]
class RemovalDesk
{
public:
    /// What ProxyServer::remember is told for a removal.
    static constexpr std::uint64_t matter = 1;

    RemovalDesk(asio::io_context& io, Books& books, ProxyServer& server);
    /// Removals that an earlier run could not deliver.
    void load(const Now& now);

    void handle(const protocol::Remove& remove, Ticket ticket);
    /// Ends a session that the proxy removed while it was being made.
    void remove_at_once(Session& session);
    /// Removes what must not be at that relay; no record is made of it.
    void discard(RelayId relay, const protocol::Remove& remove);

    /// The session whose removal is still to be delivered; null: none. A record that comes first
    /// was not caused by a timeout.
    const Session* waiting(RelayId relay, std::string_view call_id,
                           std::string_view from_tag) const;
    /// The session ended: its removal need not be delivered any more.
    void forget_waiting(RelayId relay, std::string_view call_id, std::string_view from_tag);

    /// Sends what waits for that relay.
    void deliver(RelayId relay);
    /// All that the relay had to tell after it came is told: what it does not know now is lost.
    void settle(RelayId relay);
    void on_disconnected(RelayId relay);
    /// Tries again where a relay is connected; gives up what is older than `limit`.
    void clean_up(TimePoint limit);
    std::size_t waiting_count() const noexcept { return waiting_.size(); }

private:
    enum class Purpose {
        session,  ///< known to the directory
        hinted,   ///< not known, but a relay listed it
        discard,  ///< not wanted, no record
        delivery, ///< of a removal that waited
    };
    struct Job {
        std::uint32_t generation = 0;
        bool open = false;
        Purpose purpose = Purpose::session;
        Ticket ticket;
        RelayId relay = 0;
        std::uint64_t session_id = 0;
        std::string call_id, from_tag, to_tag;
    };
    struct Waiting {
        enum class What : char { // as it is in the store
            ended = 'w',         ///< a session of the proxy's, whose record is wanted
            unwanted = 'd',      ///< one that was discarded
            question = 'q',      ///< perhaps ended, see is_meant(): the directory has it still
        };
        static bool known(char what) noexcept
        {
            return std::string_view("wdq").find(what) != std::string_view::npos;
        }
        Session session;
        What what = What::ended;
        bool asked = false;   ///< a request is under way
        bool refused = false; ///< the relay says that it does not know the session
        TimePoint since{};
    };

    void ask(RelayPeer& peer, Purpose purpose, RelayId relay, const protocol::Remove& remove,
             std::uint64_t session_id, Ticket ticket);
    void on_report(std::uint64_t token, Result<protocol::SessionReport> result);
    void answer_when_durable(Ticket ticket);
    void finish_session(Job& job, Result<protocol::SessionReport> result);
    void finish_delivery(Job& job, Result<protocol::SessionReport> result);
    Waiting& keep(Session session, Waiting::What what, const Now& now);
    void keep_question(const Session& session, const protocol::Remove& remove, const Now& now);
    void keep_unwanted(RelayId relay, const protocol::Remove& remove);
    void give_up(const std::string& key);
    void forget(const std::string& key);
    bool is_settled(RelayId relay) const noexcept;
    bool has_refused(RelayId relay) const;
    void judge(RelayId relay);
    void give_up_refused(RelayId relay);

    Books& books_;
    ProxyServer& server_;
    std::deque<Job> jobs_;
    std::vector<std::uint32_t> free_jobs_;
    std::unordered_map<std::string, Waiting> waiting_; ///< by relay and session
    std::vector<bool> settled_;                        ///< by relay
    DeadlineQueue<Ticket> unanswered_;                 ///< whose record is on its way to the spool
};

} // namespace mediaproxy::dispatcher
