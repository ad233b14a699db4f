// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/state_store.hpp"
#include "base/time.hpp"
#include "dispatcher/relay_pool.hpp"

namespace mediaproxy::dispatcher
{

/// Which records were received from relays that keep theirs until we acknowledge them, and which
/// calls were recorded as lost: so that one that comes again makes no second record. Acknowledges
/// what is durable. [core thread]
class Receipts
{
public:
    /// Acknowledgements wait so long for others to the same relay. Nobody waits for one, and by
    /// itself each costs a record of TLS and a wake-up both ways: with eight busy connections to
    /// the proxy a sixth of all that dispatcher and relay do.
    static constexpr std::chrono::milliseconds gathering{5};

    /// `pool` is borrowed; `store` null: nothing is known after a restart.
    Receipts(asio::io_context& io, const RelayPool& pool, StateStore* store,
             std::chrono::milliseconds gather = gathering);
    /// `keep`: for how long what was durable is remembered, see forget_before().
    void load(const Now& now, Duration keep);

    enum class Repeat {
        first,
        waiting, ///< to be durable
        durable, ///< and its relay may not know
    };
    Repeat seen(const std::string& record_id) const;

    /// For RecordSink::put(): what is to be called when the record is durable. The record came as
    /// `expired` ...
    std::function<void()> expect(RelayId relay, const std::string& record_id);
    /// ... or as the answer to a `remove`; nothing when the relay does not keep that.
    std::function<void()> expect_removed(RelayId relay, const protocol::SessionReport& report);
    /// There was no room for the record: it is one that never came.
    void refuse(RelayId relay, const std::string& record_id);
    /// Asks for those records again.
    void ask_again();
    /// No record is made of it, or there is one: the relay may forget it.
    void acknowledge(RelayId relay, const std::string& record_id);
    void dismiss(RelayId relay, const protocol::SessionReport& report);
    /// Sends the acknowledgements that wait: the relays are about to be left.
    void send_now();

    /// A record was made of that session without its relay: what the relay still tells of the
    /// same call is not another one.
    void write_off(std::string_view relay, const Session& session, const Now& now);
    bool is_written_off(std::string_view relay, const protocol::SessionReport& report) const;

    /// Forgets what was durable before `limit`: no relay will send it again.
    void forget_before(TimePoint limit, const Now& now);

private:
    /// Removals make most records. Of those the store is told only when the relay may not have
    /// heard that we have them; over a kill -9 the record_id does the rest.
    enum class Kind : bool { expired, removed };
    std::function<void()> expect(RelayId relay, const std::string& record_id, Kind kind);
    void on_durable(RelayId relay, const std::string& record_id, Kind kind);
    void remember(const std::string& record_id, const Now& at);
    void send_later();
    void on_heard(const std::string& record_id, bool heard);
    bool keeps(RelayId relay, const protocol::SessionReport& report) const;

    asio::steady_timer timer_;
    std::chrono::milliseconds gather_;
    const RelayPool& pool_;
    StateStore* store_;
    struct Received {
        bool durable = false;
        bool remembered = false;
        bool to_send = false; ///< its acknowledgement waits
    };
    std::unordered_map<std::string, Received> received_;
    struct Remembered {
        TimePoint at;
        std::string record_id;
    };
    std::deque<Remembered> remembered_;                     ///< durable ones, oldest first
    std::map<RelayId, std::vector<std::string>> to_send_;   ///< acknowledgements, oldest first
    std::unordered_map<std::string, WallTime> written_off_; ///< by relay and session
    std::set<RelayId> refused_;                             ///< who sent records without room
    bool sending_ = false;
    std::shared_ptr<int> alive_ = std::make_shared<int>();
};

} // namespace mediaproxy::dispatcher
