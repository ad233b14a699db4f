// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <asio/error_code.hpp>
#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <utility>

namespace mediaproxy::dispatcher
{

/// Many things that are all given the same time: a queue in order of arrival and one timer, so that
/// a deadline costs no allocation and no timer of its own. Nothing is taken out early; the owner
/// ignores an `Item` whose matter is settled. Late by at most 5 ms. [core thread]
template <class Item>
class DeadlineQueue
{
public:
    /// `due` gets the items handed to add(); it may call add(), but not destroy the queue.
    DeadlineQueue(asio::io_context& io, std::chrono::nanoseconds patience,
                  std::function<void(const Item&)> due)
        : patience_(patience), due_(std::move(due)), timer_(io)
    {
    }

    void add(const Item& item)
    {
        const auto at = Clock::now() + patience_;
        entries_.push_back({at, item});
        if (!armed_)
            arm(at);
    }

private:
    using Clock = std::chrono::steady_clock;
    static constexpr std::chrono::milliseconds granularity{5};
    struct Entry {
        Clock::time_point at;
        Item item;
    };

    void arm(Clock::time_point at)
    {
        armed_ = true;
        timer_.expires_at(at);
        timer_.async_wait(
            [this, alive = std::weak_ptr<bool>(alive_)](const asio::error_code& error) {
                if (error || alive.expired())
                    return;
                armed_ = false;
                const auto now = Clock::now();
                // What escapes the owner ends one item, not those behind it.
                try {
                    expire(now);
                } catch (...) {
                    arm_again(now);
                    throw;
                }
                arm_again(now);
            });
    }
    void expire(Clock::time_point now)
    {
        while (!entries_.empty() && entries_.front().at <= now) {
            const Item item = std::move(entries_.front().item);
            entries_.pop_front();
            due_(item);
        }
    }
    void arm_again(Clock::time_point now)
    {
        if (!entries_.empty() && !armed_)
            arm(std::max(entries_.front().at, now + granularity));
    }

    std::chrono::nanoseconds patience_;
    std::function<void(const Item&)> due_;
    std::deque<Entry> entries_;
    asio::steady_timer timer_;
    bool armed_ = false;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); ///< asked by a handler in flight
};

} // namespace mediaproxy::dispatcher
