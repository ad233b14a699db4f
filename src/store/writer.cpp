// SPDX-License-Identifier: GPL-2.0-or-later
// The writer thread of a store.
#include <algorithm>
#include <malloc.h>
#include <set>
#include <unistd.h>
#include <utility>

#include "base/log.hpp"
#include "base/thread.hpp"
#include "store/state.hpp"

namespace mediaproxy::store
{

namespace
{

constexpr Milliseconds retry_interval{1000};
constexpr Milliseconds at_once{0};
constexpr Milliseconds quiet{100}; ///< after the last commit there is time to tidy up
/// Records to take out in one commit. A back end is done with a hundred at a time, and without a
/// journal whoever puts one in meanwhile waits for the commit.
constexpr std::size_t most_done = 16;

} // namespace

void Store::State::start()
{
    syncer.start();
    syncer.on_commit(); // what open() has written
    writer = std::thread([this] { run(); });
}

void Store::State::stop()
{
    {
        const std::lock_guard held(mutex);
        stopping = true;
        wake.notify_all();
    }
    writer.join();
    syncer.stop();
    if (journal && pending.empty() && last_queued() == committed_batch)
        (void)::unlink(journal_path().c_str());
}

/// Wakes the writer only when it has to know.
void Store::State::queued(Milliseconds most)
{
    if (pending.empty()) {
        deadline = {}; // else the next change would count on a writer that sleeps
        return;
    }
    const Clock::time_point latest = Clock::now() + most;
    if (deadline != Clock::time_point{} && latest >= deadline)
        return;
    deadline = latest;
    if (!is_held)
        wake.notify_one();
    writer_is_held = is_held;
}

void Store::State::write_journal()
{
    if (!journal || is_held)
        return;
    if (pending.empty()) {
        journal->discard();
    } else if (!journal->write()) {
        last_gap = pending_batch;
        queued(at_once);
    }
    if (journal->is_lost())
        give_up_journal();
}

/// What stands in it is older than what will be committed.
void Store::State::give_up_journal()
{
    log::error("store {}: is not there any more, or its disk has no room to write over it; every "
               "call's end waits for the disk",
               journal_path());
    journal.reset();
    (void)::unlink(journal_path().c_str());
}

bool Store::State::is_durable() const
{
    if (!journal || journal->has_unwritten() || last_gap > committed_batch || !failure.empty())
        return false;
    const auto waiting_records = unwritten();
    return !waiting_records || waiting_records->age < patience;
}

std::optional<Store::Unwritten> Store::State::unwritten() const
{
    const std::uint64_t records = pending_records + writing_records;
    if (records == 0)
        return std::nullopt;
    const auto since = writing_records > 0 ? writing_since : pending_since;
    return Unwritten{records, Clock::now() - since, failure};
}

std::uint64_t Store::State::last_queued() const
{
    return pending.empty() ? pending_batch - 1 : pending_batch;
}

void Store::State::linger(std::unique_lock<std::mutex>& held)
{
    while (!stopping && (is_held || Clock::now() < deadline)) {
        writer_is_held = is_held;
        if (is_held)
            wake.wait(held);
        else
            wake.wait_until(held, Clock::time_point(deadline));
    }
}

void Store::State::run()
{
    begin_thread("store", Urgency::soon);
    std::unique_lock held(mutex);
    for (;;) {
        const auto has_to_act = [&] {
            const bool has_work = !pending.empty() || !waiting.empty();
            writer_is_held = has_work && is_held;
            return stopping || damaged || (has_work && !is_held);
        };
        if (!wake.wait_for(held, quiet, has_to_act)) {
            trim(held);
            wake.wait(held, has_to_act);
        }
        if (std::exchange(damaged, false)) {
            held.unlock();
            repair(Error{Error::Code::invalid, path + ": cannot be read"});
            held.lock();
            continue;
        }
        linger(held);
        deadline = {};
        if (pending.empty()) { // saved and erased meanwhile, or the end
            tell_waiting(held, pending_batch);
            if (stopping && pending.empty())
                return;
            continue;
        }
        const std::uint64_t number = pending_batch;
        Changes batch = take_batch();
        held.unlock();
        const bool written = commit(batch);
        const std::size_t record_bytes = std::exchange(batch, {}).record_bytes;
        held.lock();
        if (!written)
            return report_lost(pending);
        if (journal)
            journal->end();
        if (journal && journal->is_lost())
            give_up_journal();
        unwritten_bytes -= record_bytes;
        writing_records = 0;
        committed_batch = number;
        committed.notify_all();
        tell_waiting(held, number);
    }
}

/// All that waits. What comes from now on belongs to the next batch.
Changes Store::State::take_batch()
{
    pending.apply_to(on_disk);
    Changes batch = std::exchange(pending, {});
    if (!journal && !stopping && flushes == 0)
        leave_for_later(batch);
    if (!in_memory() && !(batch.state.empty() && batch.records.empty()))
        batch.number = {start_number, pending_batch};
    ++pending_batch;
    if (journal)
        journal->begin({start_number, pending_batch});
    writing_records = std::exchange(pending_records, 0);
    writing_since = pending_since;
    return batch;
}

/// Gives back what a flood has taken.
void Store::State::trim(std::unique_lock<std::mutex>& held)
{
    if (!journal || !journal->trim())
        return;
    held.unlock();
    ::malloc_trim(0); // what has waited for its commit lay between what stays
    held.lock();
}

void Store::State::leave_for_later(Changes& batch)
{
    if (batch.done.size() <= most_done)
        return;
    const auto rest = batch.done.begin() + most_done;
    pending.done.assign(rest, batch.done.end());
    batch.done.erase(rest, batch.done.end());
    queued(Milliseconds{0});
}

void Store::State::tell_waiting(std::unique_lock<std::mutex>& held, std::uint64_t batch)
{
    const auto later = std::find_if(waiting.begin(), waiting.end(),
                                    [&](const Waiting& one) { return one.batch > batch; });
    std::vector<Waiting> ready(std::make_move_iterator(waiting.begin()),
                               std::make_move_iterator(later));
    waiting.erase(waiting.begin(), later);
    held.unlock();
    for (const Waiting& one : ready)
        one.done();
    held.lock();
}

/// Tries until it is done; false when the store closes first.
bool Store::State::commit(const Changes& batch)
{
    for (;;) {
        const Result<void> outcome = write(batch);
        if (outcome)
            break;
        if (outcome.error().code == Error::Code::invalid && repair(outcome.error()))
            continue;
        on_failure(outcome.error());
        if (!pause_before_retry()) {
            report_lost(batch);
            return false;
        }
    }
    on_success();
    syncer.on_commit();
    tell_listeners(batch);
    return true;
}

Result<void> Store::State::write(const Changes& batch)
{
    std::unique_lock held(reader_mutex, std::defer_lock);
    if (in_memory())
        held.lock();
    if (!writer_database || !reader_database) {
        const std::lock_guard readers(reader_mutex);
        if (auto opened = open_databases(); !opened)
            return opened;
    }
    return writer_database->commit(batch);
}

void Store::State::on_failure(const Error& error)
{
    std::unique_lock held(mutex);
    const bool is_new = failure.empty();
    failure = error.message;
    held.unlock();
    if (is_new)
        log::error("store {}; changes wait in memory", error.message);
}

void Store::State::on_success()
{
    std::unique_lock held(mutex);
    if (failure.empty())
        return;
    failure.clear();
    held.unlock();
    log::warning("store {}: can be written again", path);
}

/// The log is the last place for a record that the journal has not.
void Store::State::report_lost(const Changes& batch)
{
    if (batch.empty())
        return;
    const bool kept = journal && last_gap <= committed_batch;
    log::error("store {}: closed with {} state changes and {} accounting records {}", path,
               batch.state.size(), batch.records.size(),
               kept ? "that only its journal has" : "unwritten");
    if (kept)
        return;
    for (const Changes::NewRecord& record : batch.records)
        log::error("lost accounting record for {}: {}", record.backend, record.body);
}

/// False when there is no time for another attempt.
bool Store::State::pause_before_retry()
{
    std::unique_lock held(mutex);
    if (stopping)
        return false;
    wake.wait_for(held, retry_interval, [&] { return stopping; });
    return true;
}

void Store::State::tell_listeners(const Changes& batch)
{
    std::set<std::string_view> backends;
    for (const Changes::NewRecord& record : batch.records)
        backends.insert(record.backend);
    const std::lock_guard held(listener_mutex);
    for (const std::string_view backend : backends) {
        if (const auto found = listeners.find(backend); found != listeners.end())
            found->second();
    }
}

} // namespace mediaproxy::store
