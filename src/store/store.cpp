// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/store.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <utility>

#include "store/clock.hpp"
#include "store/state.hpp"

namespace mediaproxy::store
{

namespace
{

/// What is in the journal may wait for others to be committed with: most calls are set up, answered
/// and ended by many small writes of which only the last counts.
constexpr Milliseconds linger{20};
constexpr Milliseconds at_once{0};

/// One process per store: a second one would give out the same numbers and records.
Result<UniqueFd> lock_file(const std::string& path)
{
    const std::string name = path + ".lock";
    UniqueFd file(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
    if (!file)
        return Error{Error::Code::io, name + ": " + std::strerror(errno)};
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0)
        return Error{Error::Code::unavailable, path + ": in use by another process"};
    return file;
}

} // namespace

Result<std::unique_ptr<Store>> Store::open(const std::string& path, Options options)
{
    UniqueFd lock;
    if (options.spool == Options::Spool::disk) {
        Result<UniqueFd> locked = lock_file(path);
        if (!locked)
            return std::move(locked).error();
        lock = *std::move(locked);
    }
    auto state = std::make_unique<State>(path, options, std::move(lock));
    if (auto opened = state->open(); !opened)
        return std::move(opened).error();
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

void Store::hold()
{
    const std::lock_guard held(state_->mutex);
    state_->is_held = true;
}

void Store::release()
{
    const std::lock_guard held(state_->mutex);
    state_->is_held = false;
    state_->write_journal();
    if (std::exchange(state_->writer_is_held, false))
        state_->wake.notify_one();
}

void Store::save(std::string_view table, std::string_view key, std::string value)
{
    const std::lock_guard held(state_->mutex);
    if (state_->journal)
        state_->journal->save(table, key, value);
    state_->pending.save(table, key, std::move(value));
    state_->queued(linger);
    state_->write_journal();
}

void Store::erase(std::string_view table, std::string_view key)
{
    const std::lock_guard held(state_->mutex);
    if (state_->journal)
        state_->journal->erase(table, key);
    state_->pending.erase(table, key, state_->on_disk);
    state_->queued(linger);
    state_->write_journal();
}

Result<void> Store::load_all(std::string_view table, const Each& each)
{
    return state_->with_reader([&](Database& database) { return database.load_all(table, each); });
}

Result<void> Store::put_record(const std::vector<std::string>& backends, std::string_view record_id,
                               std::string_view body)
{
    if (backends.empty())
        return {};
    const std::lock_guard held(state_->mutex);
    const std::size_t size = body.size() * backends.size();
    if (state_->unwritten_bytes + size > state_->options.record_memory)
        return Error{Error::Code::unavailable,
                     state_->path + ": too many records wait to be written"};
    state_->unwritten_bytes += size;
    if (state_->pending_records++ == 0)
        state_->pending_since = State::Clock::now();
    const std::int64_t now = unstepped_time();
    if (state_->journal)
        state_->journal->put_record(backends, record_id, body, now);
    state_->pending.put_record(backends, record_id, body, now);
    state_->queued(state_->journal ? linger : at_once);
    state_->write_journal();
    return {};
}

Result<std::vector<Store::Record>> Store::waiting(std::string_view backend, std::uint64_t after,
                                                  std::size_t most)
{
    return state_->with_reader(
        [&](Database& database) { return database.waiting(backend, after, most); });
}

void Store::done(std::uint64_t sequence)
{
    const std::lock_guard held(state_->mutex);
    state_->pending.done.push_back(sequence);
    state_->queued(linger);
}

void Store::park(std::uint64_t sequence, std::string_view reason)
{
    const std::lock_guard held(state_->mutex);
    state_->pending.parked.push_back({sequence, std::string(reason)});
    state_->queued(linger);
}

Result<std::vector<Store::Count>> Store::count()
{
    return state_->with_reader([](Database& database) { return database.count(); });
}

std::vector<Store::Count> Store::last_count() const
{
    const std::lock_guard held(state_->count_mutex);
    return state_->last_count;
}

std::optional<Store::Unwritten> Store::unwritten() const
{
    const std::lock_guard held(state_->mutex);
    return state_->unwritten();
}

bool Store::is_synced() const
{
    return state_->syncer.is_synced();
}

void Store::listen(std::string backend, Listener listener)
{
    const std::lock_guard held(state_->listener_mutex);
    if (listener)
        state_->listeners.insert_or_assign(std::move(backend), std::move(listener));
    else
        state_->listeners.erase(backend);
}

void Store::when_durable(std::function<void()> done)
{
    std::unique_lock held(state_->mutex);
    const std::uint64_t last = state_->last_queued();
    if (state_->committed_batch < last && !state_->is_durable()) {
        state_->waiting.push_back({last, std::move(done)});
        return;
    }
    held.unlock();
    done();
}

Result<void> Store::flush(Milliseconds most)
{
    std::unique_lock held(state_->mutex);
    if (std::exchange(state_->is_held, false))
        state_->wake.notify_one();
    state_->write_journal();
    state_->queued(at_once);
    const std::uint64_t last = state_->last_queued();
    ++state_->flushes;
    const bool done =
        state_->committed.wait_for(held, most, [&] { return state_->committed_batch >= last; });
    --state_->flushes;
    if (done)
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
