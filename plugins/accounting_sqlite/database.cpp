// SPDX-License-Identifier: GPL-2.0-or-later
#include "database.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

namespace mediaproxy::accounting_sqlite
{

namespace
{

std::string quoted(std::string_view identifier)
{
    return '"' + std::string(identifier) + '"';
}

/// What is wrong with this one record; everything else is the database's trouble and will pass or
/// be repaired, so no record is given up for it.
bool is_the_records_fault(int code)
{
    switch (code & 0xff) {
    case SQLITE_CONSTRAINT:
    case SQLITE_TOOBIG:
    case SQLITE_MISMATCH:
    case SQLITE_RANGE:
        return true;
    default:
        return false;
    }
}

void bind(sqlite3_stmt* statement, int index, const char* text)
{
    sqlite3_bind_text(statement, index, text, -1, SQLITE_STATIC);
}

/// Unknown is NULL, as MediaProxy writes it.
const char* null_if_empty(const char* text)
{
    return *text == '\0' ? nullptr : text;
}

/// Leaves the statement ready for its next use, whatever happened.
class Reset
{
public:
    explicit Reset(sqlite3_stmt* statement) : statement_(statement) {}
    Reset(const Reset&) = delete;
    Reset& operator=(const Reset&) = delete;
    ~Reset()
    {
        sqlite3_reset(statement_);
        sqlite3_clear_bindings(statement_);
    }

private:
    sqlite3_stmt* statement_;
};

} // namespace

Database::Database(Options options, Log log) : options_(std::move(options)), log_(std::move(log))
{
}

int Database::on_busy(void* self, int calls) noexcept
{
    constexpr std::chrono::milliseconds pause{10};
    const auto& database = *static_cast<const Database*>(self);
    if (database.cancelled_.load(std::memory_order_relaxed) ||
        calls * pause >= database.options_.busy_timeout)
        return 0;
    std::this_thread::sleep_for(pause);
    return 1;
}

Outcome Database::failure(std::string_view what) const
{
    const int code = sqlite3_extended_errcode(connection_.get());
    return {is_the_records_fault(code) ? MP_E_FAILED : MP_E_AGAIN,
            options_.path + ": " + std::string(what) + ": " + sqlite3_errmsg(connection_.get()),
            code};
}

Outcome Database::execute(const std::string& sql)
{
    if (sqlite3_exec(connection_.get(), sql.c_str(), nullptr, nullptr, nullptr) != SQLITE_OK)
        return failure(sql.substr(0, sql.find('(')));
    return {};
}

Statement Database::prepare(const std::string& sql) const
{
    sqlite3_stmt* statement = nullptr;
    sqlite3_prepare_v3(connection_.get(), sql.c_str(), -1, SQLITE_PREPARE_PERSISTENT, &statement,
                       nullptr);
    return Statement(statement);
}

void Database::log_once(bool& logged, mp_log_level level, const std::string& line)
{
    if (!std::exchange(logged, true))
        log_(level, line);
}

Outcome Database::open()
{
    for (Statement* statement : {&begin_, &commit_, &insert_, &find_})
        statement->reset();
    connection_.reset();

    Outcome outcome = connect();
    if (outcome.status == MP_OK)
        outcome = make_table();
    if (outcome.status == MP_OK)
        outcome = prepare_statements();
    if (outcome.status == MP_OK && ::stat(options_.path.c_str(), &file_) != 0)
        outcome = {MP_E_AGAIN, options_.path + ": the file vanished"};
    // Nothing is known to be wrong with a record yet: a database that cannot be used is always
    // worth another try, after a person had a look.
    if (outcome.status != MP_OK) {
        connection_.reset();
        outcome.status = MP_E_AGAIN;
    }
    return outcome;
}

Outcome Database::connect()
{
    sqlite3* connection = nullptr;
    const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
    const int code = sqlite3_open_v2(options_.path.c_str(), &connection, flags, nullptr);
    connection_.reset(connection);
    if (connection == nullptr)
        return {MP_E_AGAIN, options_.path + ": out of memory"};
    if (code != SQLITE_OK)
        return failure("cannot be opened");
    sqlite3_extended_result_codes(connection, 1);
    sqlite3_busy_handler(connection, on_busy, this);
    // WAL: readers of the table and this writer do not wait for each other. A file system without
    // shared memory keeps the journal that it can do; FULL: durable also over a power cut.
    sqlite3_exec(connection, "PRAGMA journal_mode = WAL", nullptr, nullptr, nullptr);
    return execute("PRAGMA synchronous = FULL");
}

std::string Database::definition() const
{
    const std::string table = quoted(options_.table);
    const std::string call_id = quoted(options_.call_id_column);
    const std::string from_tag = quoted(options_.from_tag_column);
    const std::string to_tag = quoted(options_.to_tag_column);
    return "CREATE TABLE IF NOT EXISTS " + table + " (\"id\" INTEGER PRIMARY KEY AUTOINCREMENT, " +
           call_id + " VARCHAR(255) NOT NULL, " + from_tag + " VARCHAR(64) NOT NULL, " + to_tag +
           " VARCHAR(64), " + quoted(options_.info_column) +
           " BLOB, \"record_id\" VARCHAR(64) UNIQUE); CREATE INDEX IF NOT EXISTS " +
           quoted(options_.table + "_callid_idx") + " ON " + table + " (" + call_id + ", " +
           from_tag + ", " + to_tag + ");";
}

bool Database::has_column(const std::string& column) const
{
    const Statement found = prepare("SELECT 1 FROM pragma_table_info(?1) WHERE name = ?2 "
                                    "COLLATE NOCASE");
    if (!found)
        return false;
    bind(found.get(), 1, options_.table.c_str());
    bind(found.get(), 2, column.c_str());
    return sqlite3_step(found.get()) == SQLITE_ROW;
}

Outcome Database::make_table()
{
    if (!has_column(options_.call_id_column)) {
        Outcome made = execute("BEGIN IMMEDIATE; " + definition() + " COMMIT");
        if (made.status != MP_OK) {
            const int code = sqlite3_errcode(connection_.get()) & 0xff;
            sqlite3_exec(connection_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
            if (code == SQLITE_BUSY || code == SQLITE_LOCKED)
                return made;
            made.message = options_.path + ": table " + options_.table +
                           " cannot be made: " + made.message.substr(made.message.rfind(": ") + 2);
            log_once(definition_logged_, MP_LOG_ERROR,
                     made.message + "; for a person to run: " + definition());
            return made;
        }
    }
    layout_ = has_column("record_id") ? Layout::ours : Layout::mediaproxy;
    return {};
}

Outcome Database::prepare_statements()
{
    const std::string table = quoted(options_.table);
    const std::string columns =
        quoted(options_.call_id_column) + ", " + quoted(options_.from_tag_column) + ", " +
        quoted(options_.to_tag_column) + ", " + quoted(options_.info_column);
    begin_ = prepare("BEGIN IMMEDIATE");
    commit_ = prepare("COMMIT");
    if (layout_ == Layout::ours) {
        insert_ = prepare("INSERT INTO " + table + " (" + columns +
                          ", \"record_id\") VALUES (?1, ?2, ?3, ?4, ?5)");
        find_ = prepare("SELECT 1 FROM " + table + " WHERE \"record_id\" = ?1");
    } else {
        const std::string info = "CAST(" + quoted(options_.info_column) + " AS TEXT)";
        insert_ = prepare("INSERT INTO " + table + " (" + columns + ") VALUES (?1, ?2, ?3, ?4)");
        find_ = prepare("SELECT 1 FROM " + table + " WHERE " + quoted(options_.call_id_column) +
                        " = ?2 AND " + quoted(options_.from_tag_column) +
                        " = ?3 AND CASE WHEN "
                        "json_valid(" +
                        info + ") THEN json_extract(" + info + ", '$.record_id') = ?1 END");
    }
    if (begin_ && commit_ && insert_ && find_)
        return {};
    Outcome outcome = failure("table " + options_.table + " is not as expected");
    log_once(definition_logged_, MP_LOG_ERROR, outcome.message + "; expected: " + definition());
    return outcome;
}

bool Database::same_file() const
{
    struct stat now {
    };
    return ::stat(options_.path.c_str(), &now) == 0 && now.st_dev == file_.st_dev &&
           now.st_ino == file_.st_ino;
}

Outcome Database::write(std::span<const mp_session_record* const> records, std::uint32_t& done)
{
    done = 0;
    if (!connection_)
        return {MP_E_AGAIN, options_.path + ": not open"};
    if (!same_file())
        return {MP_E_AGAIN, options_.path + ": the file was moved or replaced"};
    {
        const Reset reset(begin_.get());
        if (sqlite3_step(begin_.get()) != SQLITE_DONE)
            return failure("cannot be written");
    }
    Outcome outcome;
    std::uint32_t inserted = 0;
    while (inserted < records.size() && outcome.status == MP_OK) {
        outcome = insert(*records[inserted]);
        inserted += outcome.status == MP_OK ? 1 : 0;
    }
    // A full disk may have ended the transaction already.
    if (sqlite3_get_autocommit(connection_.get()) != 0)
        return outcome;
    const Reset reset(commit_.get());
    if (sqlite3_step(commit_.get()) != SQLITE_DONE) {
        outcome = failure("cannot be written");
        outcome.status = MP_E_AGAIN;
        sqlite3_exec(connection_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
        return outcome;
    }
    done = inserted;
    return outcome;
}

Database::Presence Database::look_for(const mp_session_record& record) const
{
    const Reset reset(find_.get());
    bind(find_.get(), 1, record.record_id);
    if (layout_ == Layout::mediaproxy) {
        bind(find_.get(), 2, record.call_id);
        bind(find_.get(), 3, record.from_tag);
    }
    const int code = sqlite3_step(find_.get());
    return code == SQLITE_ROW    ? Presence::written
           : code == SQLITE_DONE ? Presence::absent
                                 : Presence::unknown;
}

Outcome Database::run_insert(const mp_session_record& record, const char* to_tag)
{
    const Reset reset(insert_.get());
    bind(insert_.get(), 1, record.call_id);
    bind(insert_.get(), 2, record.from_tag);
    bind(insert_.get(), 3, to_tag);
    bind(insert_.get(), 4, record.json);
    if (layout_ == Layout::ours)
        bind(insert_.get(), 5, record.record_id);
    if (sqlite3_step(insert_.get()) == SQLITE_DONE)
        return {};
    return failure("record " + std::string(record.record_id));
}

Outcome Database::insert(const mp_session_record& record)
{
    // In MediaProxy's table an unknown to_tag is NULL, which its unique index takes any number of
    // times: only a look tells a retry. In ours the index on record_id does.
    Outcome outcome;
    if (layout_ == Layout::ours) {
        outcome = run_insert(record, null_if_empty(record.to_tag));
        if (outcome.code != SQLITE_CONSTRAINT_UNIQUE)
            return outcome;
    }
    switch (look_for(record)) {
    case Presence::written:
        return {};
    case Presence::unknown:
        outcome = failure("cannot be read");
        outcome.status = MP_E_AGAIN;
        return outcome;
    case Presence::absent:
        break;
    }
    if (layout_ == Layout::mediaproxy) {
        outcome = run_insert(record, null_if_empty(record.to_tag));
        if (outcome.code != SQLITE_CONSTRAINT_UNIQUE)
            return outcome;
    }
    return insert_beside_others(record);
}

Outcome Database::insert_beside_others(const mp_session_record& record)
{
    log_once(conflict_logged_, MP_LOG_WARNING,
             options_.path + ": table " + options_.table + " already has call " + record.call_id +
                 " with these tags: record " + record.record_id +
                 " is kept with a number behind its to_tag, and so are others like it");
    constexpr int most = 1000;
    Outcome outcome;
    for (int number = 2; number <= most; ++number) {
        const std::string to_tag = std::string(record.to_tag) + "#" + std::to_string(number);
        outcome = run_insert(record, to_tag.c_str());
        if (outcome.code != SQLITE_CONSTRAINT_UNIQUE)
            return outcome;
    }
    return outcome;
}

} // namespace mediaproxy::accounting_sqlite
