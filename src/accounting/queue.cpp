// SPDX-License-Identifier: GPL-2.0-or-later
#include "accounting/queue.hpp"

#include <algorithm>
#include <utility>

#include "base/log.hpp"
#include "base/thread.hpp"

namespace mediaproxy::accounting
{

namespace
{

constexpr std::size_t batch_size = 500;
constexpr Milliseconds cancel_interval{50};

} // namespace

/// Records that could be read, and where they are in the spool.
struct Queue::Batch {
    std::vector<store::Store::Record> spooled;
    std::vector<std::unique_ptr<Record>> records;
    std::vector<const mp_session_record*> pointers;
};

Queue::Queue(std::unique_ptr<plugin::AccountingBackend> backend, store::Store& store,
             RetryTiming timing)
    : backend_(std::move(backend)), store_(store), timing_(timing), retry_(timing.first)
{
    store_.listen(backend_->instance(), [this] {
        const std::lock_guard held(mutex_);
        if (!std::exchange(records_came_, true))
            wake_.notify_one();
    });
    worker_ = std::thread([this] { run(); });
}

Queue::~Queue()
{
    join();
}

void Queue::finish()
{
    enter(Phase::finishing);
}

void Queue::await_end(Deadline deadline)
{
    std::unique_lock held(mutex_);
    ended_.wait_until(held, deadline, [&] { return has_ended_; });
}

void Queue::cancel()
{
    enter(Phase::stopping);
    std::unique_lock held(mutex_);
    if (has_ended_)
        return;
    held.unlock();
    backend_->cancel();
}

void Queue::join()
{
    if (!worker_.joinable())
        return;
    // Again and again: the worker may have been about to enter the plugin.
    for (bool ended = false; !ended;) {
        cancel();
        std::unique_lock held(mutex_);
        ended = ended_.wait_for(held, cancel_interval, [&] { return has_ended_; });
    }
    worker_.join();
    store_.listen(backend_->instance(), {});
}

void Queue::enter(Phase phase)
{
    const std::lock_guard held(mutex_);
    phase_ = std::max(phase_, phase);
    wake_.notify_one();
}

void Queue::run()
{
    begin_thread("accounting", Urgency::later);
    while (!stopping()) {
        if (!opened_ && !open()) {
            if (!wait_for_retry())
                break;
            continue;
        }
        auto spooled = store_.waiting(backend_->instance(), last_sequence_, batch_size);
        bool fine = spooled.has_value();
        if (!fine)
            complain(spooled.error().message);
        else if (!spooled->empty()) {
            const bool was_all = spooled->size() < batch_size;
            fine = deliver(*std::move(spooled));
            if (fine && was_all) {
                std::unique_lock held(mutex_);
                gather(held);
            }
        } else if (recover(); !wait_for_records())
            break;
        if (!fine && !wait_for_retry())
            break;
    }
    const std::lock_guard held(mutex_);
    has_ended_ = true;
    ended_.notify_all();
}

bool Queue::open()
{
    const plugin::Outcome outcome = backend_->open();
    opened_ = outcome.ok();
    if (!opened_)
        complain(outcome.message);
    return opened_;
}

/// False when the back end has to be opened again, later.
bool Queue::deliver(std::vector<store::Store::Record> spooled)
{
    Batch batch;
    for (store::Store::Record& record : spooled) {
        auto report = protocol::parse_report(record.body);
        // One that cannot be read is parked in its turn, not before those in front of it.
        if (!report && !batch.spooled.empty())
            break;
        if (!report) {
            park(record, report.error().message);
            continue;
        }
        batch.records.push_back(std::make_unique<Record>(*std::move(report)));
        batch.pointers.push_back(batch.records.back()->abi());
        batch.spooled.push_back(std::move(record));
    }
    std::size_t first = 0;
    while (first < batch.pointers.size() && !stopping()) {
        std::uint32_t done = 0;
        const plugin::Outcome outcome =
            backend_->write(std::span(batch.pointers).subspan(first), done);
        settle(batch, first, done);
        first += done;
        if (done > 0)
            recover();
        if (outcome.status == MP_E_AGAIN) {
            opened_ = false;
            complain(outcome.message);
            return false;
        }
        if (!outcome.ok())
            park(batch.spooled[first++], outcome.message);
    }
    return true;
}

void Queue::settle(const Batch& batch, std::size_t first, std::size_t count)
{
    for (std::size_t i = first; i < first + count; ++i) {
        store_.done(batch.spooled[i].sequence);
        last_sequence_ = std::max(last_sequence_, batch.spooled[i].sequence);
    }
}

void Queue::park(const store::Store::Record& record, const std::string& reason)
{
    log::error("{}: record {} is refused and stays in the spool: {}", backend_->instance(),
               record.record_id, reason);
    store_.park(record.sequence, reason);
    {
        const std::lock_guard held(mutex_);
        last_error_ = reason;
    }
    last_sequence_ = std::max(last_sequence_, record.sequence);
}

void Queue::complain(const std::string& message)
{
    failing_ = true;
    {
        const std::lock_guard held(mutex_);
        last_error_ = message;
        if (std::exchange(complaint_, message) == message)
            return;
    }
    log::error("{}: {}; records wait in the spool", backend_->instance(), message);
}

/// It took a record, or there is none that it would not take.
void Queue::recover()
{
    retry_ = timing_.first;
    if (!std::exchange(failing_, false))
        return;
    {
        const std::lock_guard held(mutex_);
        complaint_.clear();
    }
    log::warning("{}: takes records again", backend_->instance());
}

void Queue::tell(BackEndFigures& figures) const
{
    const std::lock_guard held(mutex_);
    if (!complaint_.empty())
        figures.state = BackEndFigures::State::failing;
    figures.last_error = last_error_;
}

/// A transaction costs the back end about as much as ten records.
void Queue::gather(std::unique_lock<std::mutex>& held)
{
    wake_.wait_for(held, timing_.gather, [&] { return phase_ != Phase::running; });
}

/// False when the worker ends instead.
bool Queue::wait_for_records()
{
    const auto is_ending = [&] { return phase_ != Phase::running; };
    std::unique_lock held(mutex_);
    wake_.wait_for(held, timing_.look, [&] { return records_came_ || is_ending(); });
    if (records_came_)
        gather(held);
    return std::exchange(records_came_, false) || !is_ending();
}

/// False when the worker ends instead: there is no time for another attempt.
bool Queue::wait_for_retry()
{
    std::unique_lock held(mutex_);
    wake_.wait_for(held, retry_, [&] { return phase_ != Phase::running; });
    retry_ = std::min(retry_ * 2, timing_.last);
    return phase_ == Phase::running;
}

bool Queue::stopping()
{
    const std::lock_guard held(mutex_);
    return phase_ == Phase::stopping;
}

} // namespace mediaproxy::accounting
