// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "accounting/accounting.hpp"
#include "accounting/spool_watch.hpp"
#include "base/state_store.hpp"
#include "dispatcher/record_sink.hpp"
#include "store/store.hpp"

namespace mediaproxy::app
{

/// Everything that a turn of the loop changes is committed together: the end of a session with its
/// record. [core thread]
class Turn
{
public:
    Turn(asio::io_context& io, store::Store& store) : io_(io), store_(store) {}
    /// Before each change: holds the store until the loop goes on.
    void begin();
    /// What `begin` is told once, when it goes on.
    std::function<void()> at_end;

private:
    void end();

    asio::io_context& io_;
    store::Store& store_;
    bool open_ = false;
    std::shared_ptr<int> alive_ = std::make_shared<int>();
};

/// The dispatcher's records go to the accounting queue. [core thread]
class RecordsToAccounting final : public dispatcher::RecordSink
{
public:
    /// All borrowed.
    RecordsToAccounting(asio::io_context& io, accounting::Accounting& accounting,
                        store::Store& store, Turn& turn);
    ~RecordsToAccounting() override;
    bool put(protocol::SessionReport&& record, std::function<void()> durable) override;
    void when_durable(std::function<void()> durable) override;
    bool is_late() const override { return watch_.is_late(); }
    accounting::Figures figures() const override;

private:
    using Calls = std::vector<std::function<void()>>;
    void wait_until_durable();
    struct Ready;

    asio::io_context& io_;
    accounting::Accounting& accounting_;
    store::Store& store_;
    Turn& turn_;
    accounting::SpoolWatch watch_;
    Calls waiting_;                ///< `durable`s of this turn of the loop
    std::shared_ptr<Ready> ready_; ///< those whose commit is done, between the threads
};

/// A role's state goes to the store. [core thread]
class StateToStore final : public StateStore
{
public:
    /// Both borrowed.
    StateToStore(store::Store& store, Turn& turn) : store_(store), turn_(turn) {}
    void save(std::string_view table, std::string_view key, std::string value) override;
    void erase(std::string_view table, std::string_view key) override;
    Result<void> load_all(std::string_view table, const Each& each) override;

private:
    store::Store& store_;
    Turn& turn_;
};

} // namespace mediaproxy::app
