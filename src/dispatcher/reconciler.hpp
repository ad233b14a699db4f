// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "dispatcher/books.hpp"
#include "dispatcher/deadline_queue.hpp"
#include "dispatcher/removal_desk.hpp"

namespace mediaproxy::dispatcher
{

/// Compares what a relay that has connected lists with what the directory believes (PROTOCOLS
/// section 2): takes our own sessions back, remembers hints, finds what is lost. [core thread]
class Reconciler
{
public:
    /// `grace`: a relay of ours sends the records that it kept for us after it has connected; what
    /// is missing is lost only after that time, or when the relay says that it has sent all. `lost`
    /// is told of each such session when its record is written.
    Reconciler(asio::io_context& io, Books& books, RemovalDesk& removals, std::string our_name,
               Seconds grace, std::function<void(const Session&)> lost);

    enum class Place { network, here };
    /// The peer is in the pool. `question`: sessions made later need not be in its list.
    void on_connected(RelayPeer& peer, RelayId relay, TimePoint question, Place place);
    void on_disconnected(RelayId relay);
    /// Asks again those that did not give their list.
    void retry();
    /// Ends the sessions of relays that are away since before `limit`.
    void clean_up(TimePoint limit, const Now& now);

private:
    struct Talk {
        std::uint64_t number = 0; ///< of the connection
        TimePoint question{};
        Place place = Place::network;
        /// refused: the list is too long for us.
        enum class State { idle, asking, refused, listed, settled } state = State::idle;
    };
    struct Missing {
        std::string call_id, from_tag;
        std::uint64_t id;
    };
    struct Verdict {
        RelayId relay = 0;
        std::uint64_t number = 0;
    };
    void ask(RelayPeer& peer, RelayId relay);
    void on_list(RelayId relay, std::uint64_t number,
                 Result<std::vector<protocol::SessionReport>> list);
    void take_back(RelayPeer& peer, RelayId relay, const Talk& talk,
                   const std::vector<protocol::SessionReport>& list, const Now& now);
    void adopt(RelayId relay, const protocol::SessionReport& report, const Now& now);
    std::vector<Missing> find_missing(RelayId relay, const Talk& talk,
                                      const std::vector<protocol::SessionReport>& list);
    void judge(const Verdict& verdict);
    void settle(RelayId relay, const std::vector<Missing>& missing);
    void lose(Session& session, const Now& now);

    Books& books_;
    RemovalDesk& removals_;
    std::string our_name_;
    std::function<void(const Session&)> lost_;
    std::uint64_t last_number_ = 0;
    std::unordered_map<RelayId, Talk> talks_;
    std::unordered_map<RelayId, std::vector<Missing>> doubtful_; ///< until the verdict
    DeadlineQueue<Verdict> verdicts_;
};

} // namespace mediaproxy::dispatcher
