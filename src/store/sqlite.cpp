// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/sqlite.hpp"

#include <chrono>
#include <utility>

namespace mediaproxy::store
{

namespace
{

constexpr int busy_timeout_ms = 5000; ///< a person with a shell on the file

int length(std::string_view bytes)
{
    return static_cast<int>(bytes.size());
}

} // namespace

Result<Connection> Connection::open(const std::string& path, Access access)
{
    sqlite3* handle = nullptr;
    const int how = access == Access::read    ? SQLITE_OPEN_READONLY
                    : access == Access::write ? SQLITE_OPEN_READWRITE
                                              : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE;
    const int code = sqlite3_open_v2(path.c_str(), &handle, how | SQLITE_OPEN_NOMUTEX, nullptr);
    Connection connection(handle, path);
    if (handle == nullptr)
        return Error{Error::Code::exhausted, path + ": out of memory"};
    if (code != SQLITE_OK)
        return connection.error("cannot be opened");
    sqlite3_busy_timeout(handle, busy_timeout_ms);
    return connection;
}

Error Connection::error(std::string_view doing) const
{
    const int code = sqlite3_errcode(handle_.get());
    const Error::Code kind = code == SQLITE_BUSY || code == SQLITE_LOCKED ? Error::Code::unavailable
                             : code == SQLITE_CORRUPT || code == SQLITE_NOTADB
                                 ? Error::Code::invalid
                                 : Error::Code::io;
    return Error{kind, path_ + ": " + std::string(doing) + ": " + sqlite3_errmsg(handle_.get())};
}

Result<void> Connection::execute(const char* sql)
{
    if (sqlite3_exec(handle_.get(), sql, nullptr, nullptr, nullptr) != SQLITE_OK)
        return error("cannot be written");
    return {};
}

Result<Statement> Connection::prepare(std::string_view sql)
{
    sqlite3_stmt* handle = nullptr;
    if (sqlite3_prepare_v3(handle_.get(), sql.data(), length(sql), SQLITE_PREPARE_PERSISTENT,
                           &handle, nullptr) != SQLITE_OK)
        return error("is not as expected");
    return Statement(handle);
}

Result<std::uint64_t> Connection::number(std::string_view sql)
{
    Result<Statement> statement = prepare(sql);
    if (!statement)
        return std::move(statement).error();
    if (statement->step() != Statement::Step::row)
        return error("cannot be read");
    return statement->number(0);
}

Result<void> Connection::check(Milliseconds most)
{
    using Clock = std::chrono::steady_clock;
    Clock::time_point end = Clock::now() + most;
    const auto too_long = [](void* limit) {
        return Clock::now() > *static_cast<Clock::time_point*>(limit) ? 1 : 0;
    };
    constexpr int instructions = 10000; // some hundred microseconds
    Result<Statement> statement = prepare("PRAGMA quick_check(1)");
    if (!statement)
        return std::move(statement).error();
    sqlite3_progress_handler(handle_.get(), instructions, too_long, &end);
    const Statement::Step step = statement->step();
    sqlite3_progress_handler(handle_.get(), 0, nullptr, nullptr);
    if (step == Statement::Step::row && statement->bytes(0) != "ok")
        return Error{Error::Code::invalid,
                     path_ + ": is damaged: " + std::string(statement->bytes(0))};
    if (step == Statement::Step::failed && sqlite3_errcode(handle_.get()) != SQLITE_INTERRUPT)
        return error("cannot be read");
    return {};
}

void Connection::count_frames(std::atomic<int>& frames)
{
    sqlite3_wal_hook(
        handle_.get(),
        [](void* told, sqlite3*, const char*, int count) {
            static_cast<std::atomic<int>*>(told)->store(count, std::memory_order_relaxed);
            return SQLITE_OK;
        },
        &frames);
}

Result<void> Connection::checkpoint(Checkpoint kind)
{
    const int mode =
        kind == Checkpoint::passive ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_RESTART;
    int frames = 0;
    const int code = sqlite3_wal_checkpoint_v2(handle_.get(), nullptr, mode, &frames, nullptr);
    if (code == SQLITE_BUSY) // somebody reads: the next one will do it
        return {};
    if (code == SQLITE_OK && frames < 0)
        return Error{Error::Code::io, path_ + ": has no WAL to copy"};
    if (code == SQLITE_OK)
        return {};
    return error("cannot be written");
}

void Connection::roll_back() noexcept
{
    if (sqlite3_get_autocommit(handle_.get()) == 0)
        sqlite3_exec(handle_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
}

Statement& Statement::bind(int index, std::string_view text)
{
    sqlite3_bind_text(handle_.get(), index, text.data() != nullptr ? text.data() : "", length(text),
                      SQLITE_STATIC);
    return *this;
}

Statement& Statement::bind_blob(int index, std::string_view bytes)
{
    sqlite3_bind_blob(handle_.get(), index, bytes.data() != nullptr ? bytes.data() : "",
                      length(bytes), SQLITE_STATIC);
    return *this;
}

Statement& Statement::bind(int index, std::uint64_t number)
{
    sqlite3_bind_int64(handle_.get(), index, static_cast<sqlite3_int64>(number));
    return *this;
}

Statement::Step Statement::step()
{
    switch (sqlite3_step(handle_.get())) {
    case SQLITE_ROW:
        return Step::row;
    case SQLITE_DONE:
        return Step::done;
    default:
        return Step::failed;
    }
}

Statement::Step Statement::run()
{
    const Step outcome = step();
    reset();
    return outcome;
}

void Statement::reset()
{
    sqlite3_reset(handle_.get());
    sqlite3_clear_bindings(handle_.get());
}

std::string_view Statement::bytes(int column)
{
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(handle_.get(), column));
    const int size = sqlite3_column_bytes(handle_.get(), column);
    return bytes == nullptr ? std::string_view()
                            : std::string_view(bytes, static_cast<std::size_t>(size));
}

std::uint64_t Statement::number(int column)
{
    return static_cast<std::uint64_t>(sqlite3_column_int64(handle_.get(), column));
}

bool Statement::is_null(int column)
{
    return sqlite3_column_type(handle_.get(), column) == SQLITE_NULL;
}

} // namespace mediaproxy::store
