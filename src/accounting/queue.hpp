// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "accounting/figures.hpp"
#include "accounting/record.hpp"
#include "base/time.hpp"
#include "plugin/accounting_backend.hpp"
#include "store/store.hpp"

namespace mediaproxy::accounting
{

/// When a back end that failed is tried again.
struct RetryTiming {
    Milliseconds first{1000}; ///< doubles with each failure ...
    Milliseconds last{60000}; ///< ... up to this
    /// Records wait so long for others to be written with, unless many wait already.
    Milliseconds gather{200};
    /// The spool is looked into at least so often: another process may have put refused records
    /// back into it.
    Milliseconds look{2000};
};

/// Takes one back end's records out of the spool and to it, in order, on a thread of its own. Holds
/// no more than a batch of them in memory. Made and destroyed on the core thread.
class Queue
{
public:
    using Deadline = std::chrono::steady_clock::time_point;

    Queue(std::unique_ptr<plugin::AccountingBackend> backend, store::Store& store,
          RetryTiming timing);
    /// Cancels what the back end is doing and joins the thread.
    ~Queue();
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;

    const std::string& instance() const noexcept { return backend_->instance(); }
    /// Its state and last error.
    void tell(BackEndFigures& figures) const;

    /// Ends when the spool is empty or the back end fails.
    void finish();
    /// Waits for that, until then. Blocks.
    void await_end(Deadline deadline);
    /// Tells the back end to return, if it has not ended.
    void cancel();
    /// Does so until the thread has ended. Blocks for as long as the plugin does.
    void join();

private:
    enum class Phase { running, finishing, stopping };
    struct Batch;

    void run();
    bool open();
    bool deliver(std::vector<store::Store::Record> spooled);
    void settle(const Batch& batch, std::size_t first, std::size_t count);
    void park(const store::Store::Record& record, const std::string& reason);
    void complain(const std::string& message);
    void recover();
    void enter(Phase phase);
    void gather(std::unique_lock<std::mutex>& held);
    bool wait_for_records();
    bool wait_for_retry();
    bool stopping();

    const std::unique_ptr<plugin::AccountingBackend> backend_;
    store::Store& store_;
    const RetryTiming timing_;

    // The worker's own.
    bool opened_ = false;
    std::uint64_t last_sequence_ = 0; ///< done or parked, whether or not the store wrote so yet
    Milliseconds retry_;
    bool failing_ = false; ///< and that was logged

    mutable std::mutex mutex_;
    std::condition_variable wake_, ended_;
    Phase phase_ = Phase::running;
    bool records_came_ = false;
    bool has_ended_ = false;
    std::string complaint_;  ///< empty: it takes records
    std::string last_error_; ///< the complaint, or why a record was refused

    std::thread worker_;
};

} // namespace mediaproxy::accounting
