// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <functional>
#include <memory>
#include <vector>

#include "accounting/accounting.hpp"
#include "base/state_store.hpp"
#include "dispatcher/record_sink.hpp"
#include "store/store.hpp"

namespace mediaproxy::app
{

/// The dispatcher's records go to the accounting queue. [core thread]
class RecordsToAccounting final : public dispatcher::RecordSink
{
public:
    /// All borrowed.
    RecordsToAccounting(asio::io_context& io, accounting::Accounting& accounting,
                        store::Store& store);
    void put(protocol::SessionReport&& record, std::function<void()> durable) override;

private:
    using Calls = std::vector<std::function<void()>>;
    void wait_for_commit();

    asio::io_context& io_;
    accounting::Accounting& accounting_;
    store::Store& store_;
    Calls waiting_; ///< `durable`s of this turn of the loop
    std::shared_ptr<int> alive_ = std::make_shared<int>();
};

/// A role's state goes to the store. [core thread]
class StateToStore final : public StateStore
{
public:
    explicit StateToStore(store::Store& store) : store_(store) {}
    void save(std::string_view table, std::string_view key, std::string value) override;
    void erase(std::string_view table, std::string_view key) override;
    Result<void> load_all(std::string_view table, const Each& each) override;

private:
    store::Store& store_;
};

} // namespace mediaproxy::app
