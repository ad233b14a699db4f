// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/schema.hpp"

#include <array>

#include "store/clock.hpp"

namespace mediaproxy::store
{

namespace
{

/// What makes version N + 1 of version N; 0 is an empty file. A new file goes through all of them,
/// so that it is laid out like one that was migrated (salvage relies on that).
constexpr std::array<const char*, schema_version> steps = {
    "CREATE TABLE IF NOT EXISTS state (name TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,"
    " PRIMARY KEY (name, key)) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS spool (sequence INTEGER PRIMARY KEY AUTOINCREMENT,"
    " backend TEXT NOT NULL, record_id TEXT NOT NULL, body TEXT NOT NULL, parked TEXT);"
    "CREATE INDEX IF NOT EXISTS spool_waiting ON spool (backend, sequence) WHERE parked IS NULL;"
    "CREATE TABLE IF NOT EXISTS starts (number INTEGER NOT NULL);",

    // made_at: milliseconds since 1970, of unstepped_time().
    "ALTER TABLE spool ADD COLUMN made_at INTEGER NOT NULL DEFAULT 0;"
    "CREATE INDEX spool_parked ON spool (backend, sequence) WHERE parked IS NOT NULL;",
};

Result<void> migrate(Connection& connection, std::uint64_t version)
{
    for (std::uint64_t step = version; step < schema_version; ++step) {
        if (auto made = connection.execute(steps[step]); !made)
            return made;
    }
    if (version == 1) { // when they came was not kept
        auto date = connection.prepare("UPDATE spool SET made_at = ?1");
        if (!date)
            return std::move(date).error();
        date->bind(1, static_cast<std::uint64_t>(unstepped_time()));
        if (date->run() != Statement::Step::done)
            return connection.error("cannot be written");
    }
    const std::string set = "PRAGMA user_version = " + std::to_string(schema_version);
    return connection.execute(set.c_str());
}

} // namespace

Result<void> prepare_schema(Connection& connection, const std::string& path)
{
    auto version = connection.number("PRAGMA user_version");
    if (!version)
        return std::move(version).error();
    if (*version > schema_version)
        return Error{Error::Code::unsupported, path + ": was made by a newer mediaproxyd"};
    // The WAL keeps the size to which a busy writer fills it before it begins anew (see Syncer): to
    // cut it and let it grow again would cost a sync of the file system's own journal each time.
    auto made = connection.execute("PRAGMA journal_mode = WAL;"
                                   "PRAGMA journal_size_limit = 67108864;"
                                   "PRAGMA synchronous = NORMAL");
    if (!made || *version == schema_version)
        return made;
    made = connection.execute("BEGIN IMMEDIATE");
    if (made)
        made = migrate(connection, *version);
    if (made)
        made = connection.execute("COMMIT");
    if (!made)
        connection.roll_back();
    return made;
}

} // namespace mediaproxy::store
