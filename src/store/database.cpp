// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/database.hpp"

#include <algorithm>
#include <cstring>
#include <utility>

#include "store/schema.hpp"

namespace mediaproxy::store
{

namespace
{

/// Where a batch's number stands among the state.
constexpr std::string_view journal_table = "journal", last_batch_key = "last batch";

/// Runs `each` on every row of `statement`.
template <class Each>
Result<void> for_each_row(Connection& connection, Statement& statement, Each&& each)
{
    for (;;) {
        switch (statement.step()) {
        case Statement::Step::row:
            each(statement);
            break;
        case Statement::Step::done:
            return {};
        case Statement::Step::failed:
            return connection.error("cannot be read");
        }
    }
}

} // namespace

Result<Database> Database::open(const std::string& path)
{
    Result<Connection> connection = Connection::open(path);
    if (!connection)
        return std::move(connection).error();
    if (Result<void> made = prepare_schema(*connection, path); !made)
        return std::move(made).error();

    std::vector<Statement> prepared;
    for (const char* sql : {
             "BEGIN IMMEDIATE",
             "COMMIT",
             "INSERT OR REPLACE INTO state (name, key, value) VALUES (?1, ?2, ?3)",
             "DELETE FROM state WHERE name = ?1 AND key = ?2",
             "INSERT INTO spool (backend, record_id, body, made_at) VALUES (?1, ?2, ?3, ?4)",
             "DELETE FROM spool WHERE sequence BETWEEN ?1 AND ?2",
             "UPDATE spool SET parked = ?2 WHERE sequence = ?1",
         }) {
        Result<Statement> statement = connection->prepare(sql);
        if (!statement)
            return std::move(statement).error();
        prepared.push_back(*std::move(statement));
    }
    return Database(*std::move(connection),
                    Statements{std::move(prepared[0]), std::move(prepared[1]),
                               std::move(prepared[2]), std::move(prepared[3]),
                               std::move(prepared[4]), std::move(prepared[5]),
                               std::move(prepared[6])});
}

/// False as soon as a statement fails.
bool Database::write(const Changes& changes)
{
    using Step = Statement::Step;
    for (const auto& [joined, value] : changes.state) {
        Statement& statement = value ? statements_.save : statements_.erase;
        statement.bind(1, Changes::table_of(joined)).bind_blob(2, Changes::key_of(joined));
        if (value)
            statement.bind_blob(3, *value);
        if (statement.run() != Step::done)
            return false;
    }
    if (changes.number != BatchNumber{}) {
        const std::string_view number(reinterpret_cast<const char*>(&changes.number),
                                      sizeof changes.number);
        statements_.save.bind(1, journal_table).bind_blob(2, last_batch_key).bind_blob(3, number);
        if (statements_.save.run() != Step::done)
            return false;
    }
    for (const Changes::NewRecord& record : changes.records) {
        statements_.put.bind(1, record.backend).bind(2, record.record_id).bind(3, record.body);
        statements_.put.bind(4, static_cast<std::uint64_t>(record.made_at));
        if (statements_.put.run() != Step::done)
            return false;
    }
    // A back end is mostly done with many in a row.
    std::vector<std::uint64_t> done = changes.done;
    std::sort(done.begin(), done.end());
    for (std::size_t first = 0, next = 0; first < done.size(); first = next) {
        for (next = first + 1; next < done.size() && done[next] - done[next - 1] <= 1;)
            ++next;
        if (statements_.done.bind(1, done[first]).bind(2, done[next - 1]).run() != Step::done)
            return false;
    }
    for (const Changes::Parked& parked : changes.parked) {
        statements_.park.bind(1, parked.sequence).bind(2, parked.reason);
        if (statements_.park.run() != Step::done)
            return false;
    }
    return true;
}

Result<void> Database::commit(const Changes& changes)
{
    const bool written = statements_.begin.run() == Statement::Step::done && write(changes) &&
                         statements_.commit.run() == Statement::Step::done;
    if (written)
        return {};
    Error error = connection_.error("cannot be written");
    connection_.roll_back();
    return error;
}

Result<BatchNumber> Database::last_batch()
{
    BatchNumber number;
    const auto read = load_all(journal_table, [&](std::string_view, std::string_view value) {
        if (value.size() == sizeof number)
            std::memcpy(&number, value.data(), sizeof number);
    });
    return read ? Result<BatchNumber>(number) : read.error();
}

Result<std::uint64_t> Database::count_start(std::uint64_t least)
{
    auto set = connection_.execute("BEGIN IMMEDIATE");
    if (!set)
        return std::move(set).error();
    auto read = connection_.prepare("SELECT max(number) FROM starts");
    auto write = connection_.prepare("INSERT INTO starts (number) VALUES (?1)");
    if (!read || !write || read->step() != Statement::Step::row) {
        Error error = connection_.error("cannot be read");
        connection_.roll_back();
        return error;
    }
    const std::uint64_t number = std::max(least, read->number(0) + 1);
    read->reset();
    set = connection_.execute("DELETE FROM starts");
    if (set && write->bind(1, number).run() == Statement::Step::done)
        set = connection_.execute("COMMIT");
    else if (set)
        set = connection_.error("cannot be written");
    if (!set) {
        connection_.roll_back();
        return std::move(set).error();
    }
    return number;
}

Result<void> Database::load_keys(KeysOnDisk& on_disk)
{
    auto select = connection_.prepare("SELECT name, key FROM state");
    if (!select)
        return std::move(select).error();
    return for_each_row(connection_, *select, [&](Statement& row) {
        on_disk.add(Changes::join(row.bytes(0), row.bytes(1)));
    });
}

Result<void> Database::load_all(std::string_view table, const Store::Each& each)
{
    auto select = connection_.prepare("SELECT key, value FROM state WHERE name = ?1");
    if (!select)
        return std::move(select).error();
    return for_each_row(connection_, select->bind(1, table),
                        [&](Statement& row) { each(row.bytes(0), row.bytes(1)); });
}

Result<std::vector<Store::Record>> Database::waiting(std::string_view backend, std::uint64_t after,
                                                     std::size_t most)
{
    auto select = connection_.prepare("SELECT sequence, record_id, body FROM spool WHERE "
                                      "backend = ?1 AND parked IS NULL AND sequence > ?2 "
                                      "ORDER BY sequence LIMIT ?3");
    if (!select)
        return std::move(select).error();
    select->bind(1, backend).bind(2, after).bind(3, std::uint64_t{most});
    std::vector<Store::Record> records;
    auto read = for_each_row(connection_, *select, [&](Statement& row) {
        records.push_back({row.number(0), std::string(row.bytes(1)), std::string(row.bytes(2))});
    });
    if (!read)
        return std::move(read).error();
    return records;
}

Result<void> Database::raise_sequence(std::uint64_t least)
{
    // A row is needed for SQLite to keep a count; it never shows.
    auto set = connection_.execute("INSERT INTO sqlite_sequence (name, seq) SELECT 'spool', 0 WHERE"
                                   " NOT EXISTS (SELECT 1 FROM sqlite_sequence)");
    auto raise = connection_.prepare("UPDATE sqlite_sequence SET seq = max(seq, ?1)");
    if (!set || !raise)
        return set ? std::move(raise).error() : std::move(set).error();
    if (raise->bind(1, least).run() != Statement::Step::done)
        return connection_.error("cannot be written");
    return {};
}

Result<std::vector<Store::Count>> Database::count()
{
    return count_spool(connection_);
}

Result<std::vector<Store::Count>> count_spool(Connection& connection)
{
    // Each half by its own index, which holds nothing else.
    auto select = connection.prepare(
        "SELECT backend, waiting, parked, coalesce((SELECT made_at FROM spool WHERE "
        "sequence = oldest), 0) FROM (SELECT backend, sum(waiting) AS waiting, "
        "sum(parked) AS parked, max(oldest) AS oldest FROM "
        "(SELECT backend, count(*) AS waiting, 0 AS parked, min(sequence) AS oldest FROM spool "
        "WHERE parked IS NULL GROUP BY backend UNION ALL "
        "SELECT backend, 0, count(*), 0 FROM spool WHERE parked IS NOT NULL GROUP BY backend) "
        "GROUP BY backend) ORDER BY backend");
    if (!select)
        return std::move(select).error();
    std::vector<Store::Count> counts;
    auto read = for_each_row(connection, *select, [&](Statement& row) {
        counts.push_back({std::string(row.bytes(0)), row.number(1), row.number(2),
                          static_cast<std::int64_t>(row.number(3))});
    });
    if (!read)
        return std::move(read).error();
    return counts;
}

} // namespace mediaproxy::store
