// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/store.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <fcntl.h>
#include <map>
#include <mutex>
#include <pthread.h>
#include <random>
#include <set>
#include <sys/file.h>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include "base/log.hpp"
#include "base/unique_fd.hpp"
#include "store/changes.hpp"
#include "store/database.hpp"

namespace mediaproxy::store
{

namespace
{

using Clock = std::chrono::steady_clock;

// How long a change waits for others to be committed with. State may wait longest: most calls are
// set up, answered and ended by many small writes of which only the last counts.
constexpr Milliseconds linger_state{20};
constexpr Milliseconds linger_records{5};
constexpr Milliseconds retry_interval{1000};
/// For records that a failing disk does not take.
constexpr std::size_t record_memory = 64UL * 1024 * 1024;

/// One process per store: a second one would give out the same numbers and records.
Result<UniqueFd> lock_file(const std::string& path)
{
    const std::string name = path + ".lock";
    UniqueFd file(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
    if (!file)
        return Error{Error::Code::io, name + ": " + std::strerror(errno)};
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0)
        return Error{Error::Code::unavailable, path + ": in use by another process"};
    // SQLite would make the file itself for everybody to read.
    const UniqueFd made(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
    if (!made)
        return Error{Error::Code::io, path + ": " + std::strerror(errno)};
    return file;
}

std::uint64_t seconds_since_1970()
{
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<Seconds>(now).count());
}

} // namespace

/// `mutex` guards what both the callers and the writer touch; the writer's database is its own.
struct Store::State {
    State(std::string file, UniqueFd locked, Database writes, Database reads)
        : path(std::move(file)), lock(std::move(locked)), writer_database(std::move(writes)),
          reader_database(std::move(reads))
    {
    }

    void start()
    {
        writer = std::thread([this] { run(); });
    }
    void stop();
    void run();
    void linger(std::unique_lock<std::mutex>& held);
    bool commit(const Changes& batch);
    void report_lost(const Changes& batch);
    void tell_listeners(const Changes& batch);
    bool pause_before_retry();
    void queued(Milliseconds most);
    void tell_waiting(std::unique_lock<std::mutex>& held, std::uint64_t batch);

    const std::string path;
    const UniqueFd lock;
    std::uint64_t first_id = 0;
    std::string record_id_prefix;

    std::mutex reader_mutex;
    Database writer_database;
    Database reader_database; ///< guarded by reader_mutex

    std::mutex listener_mutex;
    std::map<std::string, Listener, std::less<>> listeners;

    std::mutex mutex;
    std::condition_variable wake;      ///< the writer: there is work, or less time for it
    std::condition_variable committed; ///< flush(): a batch is on disk
    Changes pending;
    KeysOnDisk on_disk;
    Clock::time_point deadline{}; ///< of `pending`
    std::uint64_t pending_batch = 1, committed_batch = 0;
    struct Waiting {
        std::uint64_t batch;
        std::function<void()> done;
    };
    std::vector<Waiting> waiting;    ///< in the order of their batches
    std::size_t unwritten_bytes = 0; ///< of records, pending or being committed
    bool stopping = false;

    std::thread writer;
};

/// After a change to `pending`, with the mutex held. Wakes the writer only when it has to know.
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
    wake.notify_one();
}

void Store::State::linger(std::unique_lock<std::mutex>& held)
{
    while (!stopping && Clock::now() < deadline)
        wake.wait_until(held, Clock::time_point(deadline));
}

void Store::State::run()
{
    ::pthread_setname_np(::pthread_self(), "store");
    std::unique_lock held(mutex);
    for (;;) {
        wake.wait(held, [&] { return stopping || !pending.empty() || !waiting.empty(); });
        linger(held);
        deadline = {};
        if (pending.empty()) { // saved and erased meanwhile, or the end
            tell_waiting(held, pending_batch);
            if (stopping && pending.empty())
                return;
            continue;
        }
        pending.apply_to(on_disk);
        Changes batch = std::exchange(pending, {});
        const std::uint64_t number = pending_batch++;
        held.unlock();
        const bool written = commit(batch);
        const std::size_t record_bytes = std::exchange(batch, {}).record_bytes;
        held.lock();
        if (!written)
            return report_lost(pending);
        unwritten_bytes -= record_bytes;
        committed_batch = number;
        committed.notify_all();
        tell_waiting(held, number);
    }
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
    bool failed_before = false;
    for (;;) {
        const Result<void> outcome = writer_database.commit(batch);
        if (outcome)
            break;
        if (!std::exchange(failed_before, true))
            log::error("store {}; changes wait in memory", outcome.error().message);
        if (!pause_before_retry()) {
            report_lost(batch);
            return false;
        }
    }
    if (failed_before)
        log::warning("store {}: can be written again", path);
    tell_listeners(batch);
    return true;
}

/// The log is the last place for a record.
void Store::State::report_lost(const Changes& batch)
{
    if (batch.empty())
        return;
    log::error("store {}: closed with {} state changes and {} accounting records unwritten", path,
               batch.state.size(), batch.records.size());
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

void Store::State::stop()
{
    {
        const std::lock_guard held(mutex);
        stopping = true;
        wake.notify_all();
    }
    writer.join();
}

Result<std::unique_ptr<Store>> Store::open(const std::string& path)
{
    Result<UniqueFd> lock = lock_file(path);
    if (!lock)
        return std::move(lock).error();
    Result<Database> writes = Database::open(path);
    if (!writes)
        return std::move(writes).error();
    Result<Database> reads = Database::open(path);
    if (!reads)
        return std::move(reads).error();

    auto state =
        std::make_unique<State>(path, *std::move(lock), *std::move(writes), *std::move(reads));
    // The clock makes the numbers rise even when the file was deleted.
    const auto start = state->writer_database.count_start(seconds_since_1970());
    if (!start)
        return start.error();
    state->first_id = (*start << 32) | 1;
    std::random_device random;
    state->record_id_prefix = fmt::format("{:x}-{:08x}-", *start, random());
    if (auto loaded = state->reader_database.load_keys(state->on_disk); !loaded)
        return std::move(loaded).error();
    state->start();
    return std::unique_ptr<Store>(new Store(std::move(state)));
}

Store::Store(std::unique_ptr<State> state) : state_(std::move(state))
{
}

Store::~Store()
{
    state_->stop();
}

void Store::save(std::string_view table, std::string_view key, std::string value)
{
    const std::lock_guard held(state_->mutex);
    state_->pending.save(table, key, std::move(value));
    state_->queued(linger_state);
}

void Store::erase(std::string_view table, std::string_view key)
{
    const std::lock_guard held(state_->mutex);
    state_->pending.erase(table, key, state_->on_disk);
    state_->queued(linger_state);
}

Result<void> Store::load_all(std::string_view table, const Each& each)
{
    const std::lock_guard held(state_->reader_mutex);
    return state_->reader_database.load_all(table, each);
}

Result<void> Store::put_record(const std::vector<std::string>& backends, std::string_view record_id,
                               std::string_view body)
{
    const std::lock_guard held(state_->mutex);
    const std::size_t size = body.size() * backends.size();
    if (state_->unwritten_bytes + size > record_memory)
        return Error{Error::Code::unavailable,
                     state_->path + ": too many records wait to be written"};
    state_->unwritten_bytes += size;
    state_->pending.put_record(backends, record_id, body);
    state_->queued(linger_records);
    return {};
}

Result<std::vector<Store::Record>> Store::waiting(std::string_view backend, std::uint64_t after,
                                                  std::size_t most)
{
    const std::lock_guard held(state_->reader_mutex);
    return state_->reader_database.waiting(backend, after, most);
}

void Store::done(std::uint64_t sequence)
{
    const std::lock_guard held(state_->mutex);
    state_->pending.done.push_back(sequence);
    state_->queued(linger_state);
}

void Store::park(std::uint64_t sequence, std::string_view reason)
{
    const std::lock_guard held(state_->mutex);
    state_->pending.parked.push_back({sequence, std::string(reason)});
    state_->queued(linger_state);
}

Result<std::vector<Store::Count>> Store::count()
{
    const std::lock_guard held(state_->reader_mutex);
    return state_->reader_database.count();
}

void Store::listen(std::string backend, Listener listener)
{
    const std::lock_guard held(state_->listener_mutex);
    if (listener)
        state_->listeners.insert_or_assign(std::move(backend), std::move(listener));
    else
        state_->listeners.erase(backend);
}

void Store::after_commit(std::function<void()> done)
{
    std::unique_lock held(state_->mutex);
    const std::uint64_t last =
        state_->pending.empty() ? state_->pending_batch - 1 : state_->pending_batch;
    if (state_->committed_batch < last) {
        state_->waiting.push_back({last, std::move(done)});
        return;
    }
    held.unlock();
    done();
}

Result<void> Store::flush(Milliseconds most)
{
    std::unique_lock held(state_->mutex);
    state_->queued(Milliseconds{0});
    const std::uint64_t last =
        state_->pending.empty() ? state_->pending_batch - 1 : state_->pending_batch;
    if (state_->committed.wait_for(held, most, [&] { return state_->committed_batch >= last; }))
        return {};
    return Error{Error::Code::unavailable, state_->path + ": not yet written"};
}

std::uint64_t Store::first_id() const noexcept
{
    return state_->first_id;
}

const std::string& Store::record_id_prefix() const noexcept
{
    return state_->record_id_prefix;
}

} // namespace mediaproxy::store
