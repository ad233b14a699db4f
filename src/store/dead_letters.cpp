// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/dead_letters.hpp"

#include <algorithm>
#include <filesystem>

#include "store/database.hpp"
#include "store/schema.hpp"

namespace mediaproxy::store
{

namespace
{

constexpr const char* chosen = " (?1 = '' OR backend = ?1) AND (?2 = '' OR record_id = ?2) ";

} // namespace

Result<DeadLetters> DeadLetters::open(const std::string& path, Connection::Access access)
{
    std::error_code error;
    if (!std::filesystem::exists(path, error))
        return Error{Error::Code::not_found, path + ": no such file"};
    Result<Connection> connection = Connection::open(path, access);
    if (!connection)
        return std::move(connection).error();
    const auto version = connection->number("PRAGMA user_version");
    if (!version)
        return version.error();
    if (*version > schema_version)
        return Error{Error::Code::unsupported, path + ": was made by a newer mediaproxyd"};
    if (*version < schema_version)
        return Error{Error::Code::unsupported,
                     path + ": is of an older mediaproxyd; the daemon brings it up to date when it "
                            "is started"};
    return DeadLetters(*std::move(connection));
}

Result<std::vector<Store::Count>> DeadLetters::count()
{
    return count_spool(connection_);
}

Result<void> DeadLetters::each(const Which& which, const std::vector<std::string>& known,
                               const std::function<void(const Letter&)>& take)
{
    auto rows = connection_.prepare(std::string("SELECT backend, record_id, body, parked, made_at, "
                                                "parked IS NOT NULL FROM spool WHERE") +
                                    chosen + "ORDER BY sequence");
    if (!rows)
        return std::move(rows).error();
    rows->bind(1, which.backend).bind(2, which.record_id);
    for (;;) {
        const Statement::Step step = rows->step();
        if (step == Statement::Step::done)
            return {};
        if (step == Statement::Step::failed)
            return connection_.error("cannot be read");
        const Letter letter{rows->bytes(0),       rows->bytes(1),
                            rows->bytes(2),       rows->bytes(3),
                            rows->number(5) != 0, static_cast<std::int64_t>(rows->number(4))};
        if (letter.refused || std::find(known.begin(), known.end(), letter.backend) == known.end())
            take(letter);
    }
}

/// Under new numbers: a back end's worker has passed by the old ones.
Result<std::uint64_t> DeadLetters::retry(const Which& which)
{
    const std::string which_rows = std::string("parked IS NOT NULL AND") + chosen;
    auto count = connection_.prepare("SELECT count(*) FROM spool WHERE " + which_rows);
    auto copy = connection_.prepare("INSERT INTO spool (backend, record_id, body, made_at) "
                                    "SELECT backend, record_id, body, made_at FROM spool WHERE " +
                                    which_rows + "ORDER BY sequence");
    auto drop = connection_.prepare("DELETE FROM spool WHERE " + which_rows);
    if (!count || !copy || !drop)
        return connection_.error("is not as expected");
    for (auto* const statement : {&*count, &*copy, &*drop})
        statement->bind(1, which.backend).bind(2, which.record_id);
    auto done = connection_.execute("PRAGMA synchronous = FULL; BEGIN IMMEDIATE");
    if (!done)
        return std::move(done).error();
    std::uint64_t found = 0;
    if (count->step() == Statement::Step::row)
        found = count->number(0);
    count->reset();
    if (copy->run() != Statement::Step::done || drop->run() != Statement::Step::done)
        done = connection_.error("cannot be written");
    if (done)
        done = connection_.execute("COMMIT");
    if (!done) {
        connection_.roll_back();
        return std::move(done).error();
    }
    return found;
}

} // namespace mediaproxy::store
