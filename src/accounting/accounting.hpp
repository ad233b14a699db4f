// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "accounting/figures.hpp"
#include "accounting/queue.hpp"
#include "base/time.hpp"
#include "plugin/accounting_backend.hpp"
#include "plugin/source.hpp"
#include "protocol/session_report.hpp"
#include "store/store.hpp"

namespace mediaproxy::accounting
{

/// What is done about a back end that does not return after it was cancelled: a plugin that hangs
/// cannot be waited for, nor be unloaded under its own feet.
struct GiveUp {
    Milliseconds after;
    /// Called once, from a thread of its own, when that is in the log; ends the process.
    std::function<void()> act;
};

/// Takes the report of every finished session to every accounting back end, by way of the store's
/// spool: a record is lost neither by a crash nor by a back end that is away. [core thread]
class Accounting
{
public:
    /// `store` is borrowed. Logs what waits in its spool.
    explicit Accounting(store::Store& store, RetryTiming timing = {});
    /// As stop() with no time to spare.
    ~Accounting();
    Accounting(const Accounting&) = delete;
    Accounting& operator=(const Accounting&) = delete;

    /// Loads a back end and starts its thread. One that cannot be loaded is an error in the log;
    /// its records are kept for the day it can.
    void add(asio::io_context& io, const plugin::PluginSource& source);
    void add(std::unique_ptr<plugin::AccountingBackend> backend);

    /// Without any, no records are kept.
    bool has_back_ends() const noexcept { return !instances_.empty(); }

    /// Keeps the report as a record for every back end; a session that was never answered
    /// (start_time is nothing) has none. Without a record_id it is given one. False when there is
    /// no room for it any more; then it is in the log.
    bool take(const protocol::SessionReport& report);

    /// What waits where, as of half a second ago.
    Figures figures() const;

    /// Lets the back ends write what waits, for at most `grace`; then cancels them and joins their
    /// threads. What is left stays in the spool. Blocks; without `give_up` for as long as a plugin
    /// hangs.
    void stop(Milliseconds grace, GiveUp give_up = {});

private:
    store::Store& store_;
    const RetryTiming timing_;
    std::vector<std::string> instances_;
    std::vector<std::unique_ptr<Queue>> queues_;
    std::map<std::string, std::string, std::less<>> not_loaded_; ///< instance and reason
    std::uint64_t last_record_ = 0;
};

} // namespace mediaproxy::accounting
