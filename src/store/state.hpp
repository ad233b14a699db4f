// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.hpp"
#include "store/changes.hpp"
#include "store/database.hpp"
#include "store/journal.hpp"
#include "store/store.hpp"
#include "store/syncer.hpp"

namespace mediaproxy::store
{

/// What is behind a Store, and its writer thread. `mutex` guards what both the callers and the
/// writer touch.
struct Store::State {
    using Clock = std::chrono::steady_clock;

    State(std::string file, Options wanted, UniqueFd locked);

    // The file. Before start(), or by the writer.
    Result<void> open();
    Result<std::uint64_t> begin();
    Result<void> take_over_journal();
    void make_journal();
    std::string journal_path() const { return path + ".journal"; }
    Result<void> settle_file();
    Result<void> open_databases();
    Result<void> open_checked();
    Result<void> replace_damaged(const Error& why);
    bool repair(const Error& why);
    bool in_memory() const noexcept { return options.spool == Options::Spool::memory; }

    // For readers: `read` gets the database; damage is told to the writer.
    template <class Read>
    auto with_reader(Read read) -> decltype(read(std::declval<Database&>()));
    void on_read_error(const Error& error);
    void look_at_spool();

    // The writer.
    void start();
    void stop();
    void run();
    void linger(std::unique_lock<std::mutex>& held);
    bool commit(const Changes& batch);
    Result<void> write(const Changes& batch);
    void on_failure(const Error& error);
    void on_success();
    Changes take_batch();
    void report_lost(const Changes& batch);
    void tell_listeners(const Changes& batch);
    bool pause_before_retry();
    void leave_for_later(Changes& batch);
    void trim(std::unique_lock<std::mutex>& held);
    void tell_waiting(std::unique_lock<std::mutex>& held, std::uint64_t batch);

    // With the mutex held.
    /// `pending` has changed and shall be written within `most`.
    void queued(Milliseconds most);
    /// What was put into the journal's entry counts now, unless it is held for more.
    void write_journal();
    /// All writes do, that is, and the disk is about to have them.
    bool is_durable() const;
    void give_up_journal();
    std::optional<Unwritten> unwritten() const;
    std::uint64_t last_queued() const;

    const std::string path;
    const Options options;
    const UniqueFd lock; ///< none in memory
    std::uint64_t start_number = 0, first_id = 0;
    std::string record_id_prefix;

    std::mutex reader_mutex;
    /// The writer's own; the same as the reader's, and guarded with it, in memory. Null: it could
    /// not be opened again.
    std::shared_ptr<Database> writer_database;
    std::shared_ptr<Database> reader_database; ///< guarded by reader_mutex
    Clock::time_point last_repair{};
    std::uint64_t repairs = 0;

    std::mutex listener_mutex;
    std::map<std::string, Listener, std::less<>> listeners;

    mutable std::mutex mutex;
    std::condition_variable wake;      ///< the writer: there is work, or less time for it
    std::condition_variable committed; ///< flush(): a batch is on disk
    /// None: in memory, or it could not be made; then who wants to be sure waits for the commit.
    std::optional<Journal> journal;
    std::uint64_t last_gap = 0; ///< the last batch that the journal had no room for
    Changes pending;
    KeysOnDisk on_disk;
    Clock::time_point deadline{}; ///< of `pending`
    bool is_held = false;         ///< by hold()
    bool writer_is_held = false;  ///< the writer would commit but for that
    std::uint64_t pending_batch = 1, committed_batch = 0;
    struct Waiting {
        std::uint64_t batch;
        std::function<void()> done;
    };
    std::vector<Waiting> waiting; ///< in the order of their batches
    unsigned flushes = 0;         ///< that wait: nothing is left for later
    bool damaged = false;         ///< a reader says so
    bool stopping = false;

    // Records that are not committed, pending or being written.
    std::size_t unwritten_bytes = 0;
    std::uint64_t pending_records = 0, writing_records = 0;
    Clock::time_point pending_since{}, writing_since{}; ///< of the oldest, where there are any
    std::string failure; ///< of the last attempt to commit; empty: it went well

    mutable std::mutex count_mutex;
    std::vector<Count> last_count;

    Syncer syncer;
    std::thread writer;
};

template <class Read>
auto Store::State::with_reader(Read read) -> decltype(read(std::declval<Database&>()))
{
    using Outcome = decltype(read(std::declval<Database&>()));
    const std::lock_guard held(reader_mutex);
    if (!reader_database)
        return Outcome(Error{Error::Code::unavailable, path + ": is not open"});
    Outcome outcome = read(*reader_database);
    if (!outcome)
        on_read_error(outcome.error());
    return outcome;
}

} // namespace mediaproxy::store
