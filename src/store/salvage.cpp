// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/salvage.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fstream>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "base/unique_fd.hpp"
#include "store/database.hpp"

namespace mediaproxy::store
{

namespace
{

namespace fs = std::filesystem;
using Step = Statement::Step;

constexpr std::size_t page_size = 4096; ///< SQLite's default, of which all our files are
/// SQLite's: what is above is negative to it.
constexpr std::uint64_t last_sequence = std::numeric_limits<std::int64_t>::max();

/// A copy to read from: the damaged file stays as it was found, whatever interrupts us.
class Copy
{
public:
    static Result<Copy> of(const std::string& damaged)
    {
        Copy copy(copy_name(damaged));
        std::error_code error;
        for (const char* side : {"", "-wal"}) {
            if (fs::exists(damaged + side))
                fs::copy_file(damaged + side, copy.path_ + side, error);
            if (error)
                return Error{Error::Code::io, copy.path_ + side + ": " + error.message()};
        }
        return copy;
    }
    Copy(Copy&& other) noexcept : path_(std::exchange(other.path_, {})) {}
    Copy& operator=(Copy&&) = delete;
    ~Copy()
    {
        if (!path_.empty())
            remove_database(path_);
    }
    const std::string& path() const noexcept { return path_; }

private:
    explicit Copy(std::string path) : path_(std::move(path)) {}
    std::string path_;
};

/// The first page holds the header and where each table begins. Tables begin at the same page in
/// all our files, so that of a new one does instead of a damaged one.
Result<void> replace_first_page(const std::string& path, const std::string& fresh)
{
    std::array<char, page_size> page{};
    std::ifstream(fresh, std::ios::binary).read(page.data(), page.size());
    std::error_code error;
    const std::uintmax_t pages = fs::file_size(path, error) / page_size;
    const auto put = [&](std::size_t at, std::uintmax_t value) {
        for (int byte = 0; byte < 4; ++byte)
            page.at(at + static_cast<std::size_t>(byte)) =
                static_cast<char>(value >> (24 - 8 * byte));
    };
    put(28, pages); // size of the file
    put(32, 0);     // no list of free pages: nothing is written here
    put(36, 0);
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    if (!file.write(page.data(), page.size()).flush())
        return Error{Error::Code::io, path + ": " + std::strerror(errno)};
    return {};
}

/// A damaged page may say any number; who believed a lower one would come there again and again.
bool is_behind(std::uint64_t sequence, std::uint64_t other)
{
    return sequence > other && sequence <= last_sequence;
}

/// Rows of one table on their way from the damaged file to the new one.
class Ferry
{
public:
    Ferry(Connection& from, Connection& to) : from_(from), to_(to) {}

    std::uint64_t spool();
    std::uint64_t states();
    void starts();

private:
    std::optional<std::uint64_t> first_behind(std::uint64_t sequence);

    Connection& from_;
    Connection& to_;
};

/// The sequence number of the next row that can be read. Damaged pages lie in between: doubles its
/// stride until it is behind them, and then looks closer.
std::optional<std::uint64_t> Ferry::first_behind(std::uint64_t sequence)
{
    auto find = from_.prepare("SELECT sequence FROM spool NOT INDEXED WHERE sequence > ?1 "
                              "ORDER BY sequence LIMIT 1");
    if (!find)
        return std::nullopt;
    const auto look = [&](std::uint64_t behind) {
        std::optional<std::uint64_t> found;
        if (find->bind(1, behind).step() == Step::row && is_behind(find->number(0), behind))
            found = find->number(0);
        find->reset();
        return found;
    };
    std::optional<std::uint64_t> found;
    std::uint64_t bad = sequence, good = sequence;
    for (std::uint64_t stride = 1; !found && stride <= last_sequence - sequence; stride *= 2) {
        bad = good;
        good = sequence + stride;
        found = look(good);
    }
    while (found && good - bad > 1) {
        const std::uint64_t middle = bad + (good - bad) / 2;
        if (const auto closer = look(middle)) {
            good = middle;
            found = closer;
        } else {
            bad = middle;
        }
    }
    return found;
}

bool put_record(Statement& put, Statement& row)
{
    put.bind(1, row.number(0)).bind(2, row.bytes(1)).bind(3, row.bytes(2)).bind(4, row.bytes(3));
    if (!row.is_null(4))
        put.bind(5, row.bytes(4));
    put.bind(6, row.number(5));
    return put.run() == Step::done;
}

std::uint64_t Ferry::spool()
{
    auto put = to_.prepare("INSERT OR IGNORE INTO spool (sequence, backend, record_id, body, "
                           "parked, made_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
    std::uint64_t saved = 0, behind = 0;
    while (put) {
        auto rows = from_.prepare("SELECT sequence, backend, record_id, body, parked, made_at "
                                  "FROM spool NOT INDEXED WHERE sequence > ?1 ORDER BY sequence");
        if (!rows) // version 1
            rows = from_.prepare("SELECT sequence, backend, record_id, body, parked, 0 "
                                 "FROM spool NOT INDEXED WHERE sequence > ?1 ORDER BY sequence");
        if (!rows)
            return saved;
        rows->bind(1, behind);
        Step step;
        while ((step = rows->step()) == Step::row) {
            if (is_behind(rows->number(0), behind))
                behind = rows->number(0);
            saved += put_record(*put, *rows) ? 1 : 0;
        }
        if (step == Step::done)
            return saved;
        const auto next = first_behind(behind);
        if (!next)
            return saved;
        behind = *next - 1;
    }
    return saved;
}

/// From both ends; what lies between two damaged pages is lost, and told anew by the relays.
std::uint64_t Ferry::states()
{
    std::uint64_t saved = 0;
    for (const char* order : {"ASC", "DESC"}) {
        auto rows = from_.prepare(fmt::format("SELECT name, key, value FROM state "
                                              "ORDER BY name {0}, key {0}",
                                              order));
        auto put =
            to_.prepare("INSERT OR IGNORE INTO state (name, key, value) VALUES (?1, ?2, ?3)");
        if (!rows || !put)
            return saved;
        Step step;
        while ((step = rows->step()) == Step::row) {
            put->bind(1, rows->bytes(0)).bind_blob(2, rows->bytes(1)).bind_blob(3, rows->bytes(2));
            saved += put->run() == Step::done ? 1 : 0;
        }
        if (step == Step::done)
            break;
    }
    return saved;
}

void Ferry::starts()
{
    const auto number = from_.number("SELECT max(number) FROM starts");
    auto put = to_.prepare("INSERT INTO starts (number) VALUES (?1)");
    if (number && put)
        put->bind(1, *number).run();
}

Result<Salvaged> ferry_all(Connection& from, Connection& to)
{
    Salvaged salvaged;
    Ferry ferry(from, to);
    if (auto begun = to.execute("BEGIN IMMEDIATE"); !begun)
        return std::move(begun).error();
    salvaged.records = ferry.spool();
    salvaged.states = ferry.states();
    ferry.starts();
    if (auto done = to.execute("COMMIT"); !done)
        return std::move(done).error();
    if (const auto last = from.number("SELECT max(seq) FROM sqlite_sequence"))
        salvaged.last_sequence = *last;
    return salvaged;
}

/// Can the tables be found in it?
bool has_tables(Connection& connection)
{
    const auto count =
        connection.number("SELECT count(*) FROM sqlite_master WHERE name IN ('state', 'spool')");
    return count && *count == 2;
}

/// Makes the new file; it is closed then, and has no WAL.
Result<Salvaged> salvage(const std::string& damaged, const std::string& path,
                         std::uint64_t least_sequence, const BetweenSteps& between)
{
    Result<Copy> copy = Copy::of(damaged);
    if (!copy)
        return std::move(copy).error();
    between();
    if (!UniqueFd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640)))
        return Error{Error::Code::io, path + ": " + std::strerror(errno)};
    Result<Database> to = Database::open(path);
    if (!to)
        return std::move(to).error();
    if (auto whole = to->connection().checkpoint(Connection::Checkpoint::restart); !whole)
        return std::move(whole).error();
    between();

    Result<Connection> from = Connection::open(copy->path(), Connection::Access::write);
    if (!from || !has_tables(*from)) {
        from = Error{}; // closed before the file is written to
        if (auto replaced = replace_first_page(copy->path(), path); !replaced)
            return std::move(replaced).error();
        from = Connection::open(copy->path(), Connection::Access::write);
        if (!from)
            return std::move(from).error();
    }
    Result<Salvaged> salvaged = ferry_all(*from, to->connection());
    if (!salvaged)
        return salvaged;
    between();
    const std::uint64_t least = std::max(least_sequence, salvaged->last_sequence);
    if (auto raised = to->raise_sequence(least); !raised)
        return std::move(raised).error();
    to = Error{}; // closed; the WAL is copied and deleted, or stays when that fails
    if (fs::exists(path + "-wal"))
        return Error{Error::Code::io, path + ": cannot be written"};
    between();
    return salvaged;
}

} // namespace

Result<Salvaged> set_aside_and_salvage(const std::string& path, std::uint64_t least_sequence,
                                       const BetweenSteps& between)
{
    const BetweenSteps step = between ? between : [] {};
    remove_database(unfinished_name(path));
    remove_database(copy_name(path));
    Result<Salvaged> salvaged = salvage(path, unfinished_name(path), least_sequence, step);
    if (!salvaged) {
        remove_database(unfinished_name(path)); // another time
        return salvaged;
    }
    step();
    Result<std::string> name = swap_in_finished(path, step);
    if (!name)
        return std::move(name).error();
    salvaged->kept_as = *std::move(name);
    return salvaged;
}

} // namespace mediaproxy::store
