// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/store_adapters.hpp"

#include <asio/post.hpp>

namespace mediaproxy::app
{

RecordsToAccounting::RecordsToAccounting(asio::io_context& io, accounting::Accounting& accounting,
                                         store::Store& store)
    : io_(io), accounting_(accounting), store_(store)
{
}

void RecordsToAccounting::put(protocol::SessionReport&& record, std::function<void()> durable)
{
    accounting_.take(record);
    if (!durable)
        return;
    waiting_.push_back(std::move(durable));
    if (waiting_.size() > 1)
        return;
    asio::post(io_, [this, alive = std::weak_ptr<int>(alive_)] {
        if (!alive.expired())
            wait_for_commit();
    });
}

/// One wait for all records of a turn of the loop. The writer thread only posts.
void RecordsToAccounting::wait_for_commit()
{
    auto calls = std::make_shared<Calls>(std::exchange(waiting_, {}));
    store_.after_commit([&io = io_, alive = std::weak_ptr<int>(alive_), calls = std::move(calls)] {
        asio::post(io, [alive, calls] {
            if (alive.expired())
                return;
            for (const auto& durable : *calls)
                durable();
        });
    });
}

void StateToStore::save(std::string_view table, std::string_view key, std::string value)
{
    store_.save(table, key, std::move(value));
}

void StateToStore::erase(std::string_view table, std::string_view key)
{
    store_.erase(table, key);
}

Result<void> StateToStore::load_all(std::string_view table, const Each& each)
{
    return store_.load_all(table, each);
}

} // namespace mediaproxy::app
