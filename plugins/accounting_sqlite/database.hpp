// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include <sqlite3.h>
#include <sys/stat.h>

#include <mediaproxy/accounting.h>

#include "options.hpp"

namespace mediaproxy::accounting_sqlite
{

struct CloseDatabase {
    void operator()(sqlite3* connection) const { sqlite3_close_v2(connection); }
};
using Connection = std::unique_ptr<sqlite3, CloseDatabase>;

struct FinishStatement {
    void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
};
using Statement = std::unique_ptr<sqlite3_stmt, FinishStatement>;

/// What became of a call; `message` only when it failed.
struct Outcome {
    mp_status status = MP_OK;
    std::string message;
    int code = SQLITE_OK; ///< SQLite's extended result code
};

/// The records' table in one SQLite file. One thread; cancel() from any.
class Database
{
public:
    using Log = std::function<void(mp_log_level, const std::string&)>;

    Database(Options options, Log log);

    /// Connects anew and makes the table where it is missing.
    Outcome open();

    /// One transaction. `done` records are durable afterwards, the outcome is that of the next one.
    Outcome write(std::span<const mp_session_record* const> records, std::uint32_t& done);

    /// Ends a wait for a locked database, and every later one.
    void cancel() noexcept { cancelled_.store(true, std::memory_order_relaxed); }

private:
    enum class Layout { ours, mediaproxy };
    enum class Presence { absent, written, unknown };

    static int on_busy(void* self, int calls) noexcept;
    Outcome connect();
    Outcome make_table();
    Outcome prepare_statements();
    Outcome execute(const std::string& sql);
    Outcome failure(std::string_view what) const;
    std::string definition() const;
    bool has_column(const std::string& column) const;
    bool same_file() const;
    Statement prepare(const std::string& sql) const;
    Outcome insert(const mp_session_record& record);
    Outcome insert_beside_others(const mp_session_record& record);
    Outcome run_insert(const mp_session_record& record, const char* to_tag);
    Presence look_for(const mp_session_record& record) const;
    void log_once(bool& logged, mp_log_level level, const std::string& line);

    Options options_;
    Log log_;
    std::atomic<bool> cancelled_{false};
    Connection connection_;
    struct stat file_ {
    };
    Layout layout_ = Layout::ours;
    Statement begin_;
    Statement commit_;
    Statement insert_;
    Statement find_;
    bool definition_logged_ = false;
    bool conflict_logged_ = false;
};

} // namespace mediaproxy::accounting_sqlite
