// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <memory>
#include <string>
#include <vector>

#include "relay/call_store.hpp"
#include "relay/owners.hpp"
#include "session/session_table.hpp"

namespace mediaproxy::relay
{

/// When calls and letters go to the store. A call goes there soon after its first answer: not at
/// once, so that one that ends at once costs nothing. Then, every `interval`, what it has received,
/// a stretch of many calls in one piece, and the whole call again when anything else has changed.
/// Some calls in each turn of the loop. [core thread]
class CallSaver
{
public:
    /// All borrowed. `interval` 0: calls are not saved, letters are.
    CallSaver(asio::io_context& io, CallStore& store, session::SessionTable& table, Owners& owners,
              Seconds interval);
    ~CallSaver() { stop(); }

    /// There may be something new: a call was answered, a letter was put.
    void look();
    void stop();

    /// How many turns of the loop a walk over so many places takes.
    static std::size_t turns_of_walk(std::size_t places) noexcept;

private:
    static constexpr Milliseconds delay{20};
    static constexpr std::size_t places_a_turn = 200; ///< a stretch
    static constexpr std::size_t calls_a_turn = 50;   ///< that are saved whole

    void save_new();
    void save_some();
    void save_traffic(std::size_t stretch, std::string traffic);
    void walk_later();
    bool saves_calls() const noexcept { return store_.keeps() && interval_ > Seconds{0}; }
    Seconds age(TimePoint now) const;

    CallStore& store_;
    session::SessionTable& table_;
    Owners& owners_;
    const Seconds interval_;
    const TimePoint started_;
    asio::steady_timer new_timer_, walk_timer_;
    bool looking_ = false, walking_ = false;
    std::size_t place_ = 0;                  ///< of the walk over all calls
    std::uint64_t owner_changes_ = 0;        ///< as the walk knows them
    std::vector<std::size_t> saved_traffic_; ///< hash of what was saved last, by stretch
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

} // namespace mediaproxy::relay
