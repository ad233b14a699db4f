// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/state.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <random>
#include <utility>

#include <fmt/format.h>

#include "base/log.hpp"
#include "store/clock.hpp"
#include "store/salvage.hpp"

namespace mediaproxy::store
{

namespace
{

constexpr Seconds repair_interval{60};
constexpr const char* memory_path = ":memory:";

std::uint64_t seconds_since_1970()
{
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<Seconds>(now).count());
}

} // namespace

Store::State::State(std::string file, Options wanted, UniqueFd locked)
    : path(std::move(file)), options(wanted), lock(std::move(locked)),
      syncer(wanted.spool == Options::Spool::memory ? std::string() : path, wanted.sync_interval,
             [this] { look_at_spool(); })
{
}

Result<void> Store::State::open()
{
    (void)unstepped_time(); // the clock of ages begins now
    const auto checked = open_checked();
    Result<std::uint64_t> start = checked ? begin() : checked.error();
    if (!start && start.error().code == Error::Code::invalid) {
        const auto replaced = replace_damaged(start.error());
        start = replaced ? begin() : replaced.error();
    }
    if (!start)
        return start.error();
    start_number = *start;
    first_id = (*start << 32) | 1;
    std::random_device random;
    record_id_prefix = fmt::format("{:x}-{:08x}-", *start, random());
    make_journal();
    look_at_spool();
    return {};
}

/// The number of this start. What the check did not reach may be found here.
Result<std::uint64_t> Store::State::begin()
{
    if (auto taken = in_memory() ? Result<void>() : take_over_journal(); !taken)
        return taken.error();
    on_disk = {};
    if (auto loaded = reader_database->load_keys(on_disk); !loaded)
        return loaded.error();
    // The clock makes the numbers rise even when the file was deleted.
    return writer_database->count_start(seconds_since_1970());
}

/// What the process before had no time to commit.
Result<void> Store::State::take_over_journal()
{
    const auto left = Journal::read(journal_path());
    if (!left) {
        const std::string kept_as = journal_path() + ".unreadable";
        (void)::rename(journal_path().c_str(), kept_as.c_str());
        log::error("store {}; set aside as {}", left.error().message, kept_as);
        return {};
    }
    const auto last = left->empty() ? BatchNumber{} : writer_database->last_batch();
    if (!last)
        return last.error();
    for (const Changes& batch : *left) {
        if (!(*last < batch.number))
            continue;
        if (auto written = writer_database->commit(batch); !written)
            return written;
        log::info("store {}: {} records and {} entries of state were still in its journal", path,
                  batch.records.size(), batch.state.size());
    }
    return {};
}

void Store::State::make_journal()
{
    if (in_memory())
        return;
    auto made = Journal::make(journal_path());
    if (!made) {
        log::warning("store {}: every call's end waits for the disk", made.error().message);
        return;
    }
    journal.emplace(*std::move(made));
    journal->begin({start_number, pending_batch});
}

/// What stands at `path` then, if anything, is the whole store.
Result<void> Store::State::settle_file()
{
    auto kept_as = settle_swap(path);
    if (!kept_as)
        return std::move(kept_as).error();
    if (!kept_as->empty())
        log::error("store {}: the file was damaged and is set aside as {}; what was saved from it "
                   "is in place now, which was interrupted",
                   path, *kept_as);
    // SQLite would make the file itself for everybody to read.
    if (!UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640)))
        return Error{Error::Code::io, path + ": " + std::strerror(errno)};
    return {};
}

Result<void> Store::State::open_databases()
{
    if (auto settled = in_memory() ? Result<void>() : settle_file(); !settled)
        return settled;
    Result<Database> writes = Database::open(in_memory() ? memory_path : path);
    if (!writes)
        return std::move(writes).error();
    writer_database = std::make_shared<Database>(*std::move(writes));
    if (in_memory()) {
        reader_database = writer_database;
        return {};
    }
    writer_database->connection().count_frames(syncer.frames());
    Result<Database> reads = Database::open(path);
    if (!reads)
        return std::move(reads).error();
    reader_database = std::make_shared<Database>(*std::move(reads));
    return {};
}

Result<void> Store::State::open_checked()
{
    auto opened = open_databases();
    if (opened)
        opened = reader_database->connection().check(options.check_patience);
    return opened;
}

/// When it fails there is no database to read from, which makes the writer open both anew.
Result<void> Store::State::replace_damaged(const Error& why)
{
    log::error("store {}: the file is damaged", why.message);
    const auto held = syncer.let_go(); // until there is a WAL again that is ours
    reader_database.reset();
    writer_database.reset();
    // Back ends remember how far they are: no number may come twice in a run.
    const std::uint64_t ours = first_id == 0 ? 0 : first_id + (++repairs << 24);
    const auto salvaged = set_aside_and_salvage(path, ours);
    if (!salvaged)
        return salvaged.error();
    log::error("store {}: set aside as {}; {} records and {} entries of state were saved from it",
               path, salvaged->kept_as, salvaged->records, salvaged->states);
    return open_databases();
}

/// While the daemon runs. False when that was tried already, in vain.
bool Store::State::repair(const Error& why)
{
    if (Clock::now() - last_repair < repair_interval && last_repair != Clock::time_point{})
        return false;
    last_repair = Clock::now();
    const std::lock_guard held(reader_mutex);
    const auto repaired = replace_damaged(why);
    if (!repaired)
        log::error("store {}: cannot be repaired", repaired.error().message);
    return repaired.has_value();
}

void Store::State::on_read_error(const Error& error)
{
    if (error.code != Error::Code::invalid)
        return;
    const std::lock_guard held(mutex);
    damaged = true;
    wake.notify_one();
}

void Store::State::look_at_spool()
{
    auto counts = with_reader([](Database& database) { return database.count(); });
    if (!counts)
        return;
    const std::lock_guard held(count_mutex);
    last_count = *std::move(counts);
}

} // namespace mediaproxy::store
