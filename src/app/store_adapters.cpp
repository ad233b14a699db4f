// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/store_adapters.hpp"

#include <asio/post.hpp>
#include <iterator>
#include <utility>

namespace mediaproxy::app
{

void Turn::begin()
{
    if (std::exchange(open_, true))
        return;
    store_.hold();
    asio::post(io_, [this, alive = std::weak_ptr<int>(alive_)] {
        if (!alive.expired())
            end();
    });
}

void Turn::end()
{
    open_ = false;
    store_.release();
    if (at_end)
        at_end();
}

/// Filled by the writer thread; emptied on the core thread, which is woken once for all that comes
/// meanwhile. Null `io`: nobody is there any more.
struct RecordsToAccounting::Ready {
    std::mutex mutex;
    asio::io_context* io;
    Calls calls;

    static void add(const std::shared_ptr<Ready>& ready, Calls&& more)
    {
        const std::lock_guard held(ready->mutex);
        const bool is_first = ready->calls.empty();
        ready->calls.insert(ready->calls.end(), std::make_move_iterator(more.begin()),
                            std::make_move_iterator(more.end()));
        if (is_first && ready->io)
            asio::post(*ready->io, [ready] { ready->run(); });
    }
    void run()
    {
        Calls taken;
        {
            const std::lock_guard held(mutex);
            taken.swap(calls);
            if (!io)
                return;
        }
        for (const auto& durable : taken)
            durable();
    }
};

RecordsToAccounting::RecordsToAccounting(asio::io_context& io, accounting::Accounting& accounting,
                                         store::Store& store, Turn& turn)
    : io_(io), accounting_(accounting), store_(store), turn_(turn), watch_(io, store),
      ready_(std::make_shared<Ready>())
{
    ready_->io = &io_;
    turn_.at_end = [this] { wait_until_durable(); };
}

RecordsToAccounting::~RecordsToAccounting()
{
    turn_.at_end = {};
    const std::lock_guard held(ready_->mutex);
    ready_->io = nullptr;
}

/// A record that is not taken is never durable: a relay that has it keeps it.
bool RecordsToAccounting::put(protocol::SessionReport&& record, std::function<void()> durable)
{
    if (!accounting_.has_back_ends()) {
        if (durable)
            durable();
        return true;
    }
    turn_.begin();
    if (!accounting_.take(record))
        return false;
    watch_.on_put();
    if (durable)
        waiting_.push_back(std::move(durable));
    return true;
}

void RecordsToAccounting::when_durable(std::function<void()> durable)
{
    if (!accounting_.has_back_ends())
        return durable();
    turn_.begin();
    waiting_.push_back(std::move(durable));
}

/// One wait for all records of a turn of the loop.
void RecordsToAccounting::wait_until_durable()
{
    if (waiting_.empty())
        return;
    auto calls = std::make_shared<Calls>(std::exchange(waiting_, {}));
    store_.when_durable([ready = ready_, calls] { Ready::add(ready, std::move(*calls)); });
}

accounting::Figures RecordsToAccounting::figures() const
{
    accounting::Figures figures = accounting_.figures();
    figures.alarm = watch_.alarm();
    return figures;
}

void StateToStore::save(std::string_view table, std::string_view key, std::string value)
{
    turn_.begin();
    store_.save(table, key, std::move(value));
}

void StateToStore::erase(std::string_view table, std::string_view key)
{
    turn_.begin();
    store_.erase(table, key);
}

Result<void> StateToStore::load_all(std::string_view table, const Each& each)
{
    return store_.load_all(table, each);
}

} // namespace mediaproxy::app
