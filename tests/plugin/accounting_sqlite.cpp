// SPDX-License-Identifier: GPL-2.0-or-later
#include <asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <sqlite3.h>
#include <sys/stat.h>
#include <thread>
#include <vector>

#include "fakes/accounting_record.hpp"
#include "fakes/file_size_limit.hpp"
#include "fakes/log_lines.hpp"
#include "fakes/temporary_folder.hpp"
#include "fakes/unprivileged.hpp"
#include "plugin/accounting_backend.hpp"

using namespace mediaproxy;
using namespace mediaproxy::plugin;
using Catch::Matchers::Contains;
using fakes::AccountingRecord;

namespace
{

/// The other side: a person, or MediaProxy, with the same file.
class Sqlite
{
public:
    explicit Sqlite(const std::string& path)
    {
        REQUIRE(sqlite3_open(path.c_str(), &db_) == SQLITE_OK);
    }
    ~Sqlite() { sqlite3_close(db_); }
    Sqlite(const Sqlite&) = delete;
    Sqlite& operator=(const Sqlite&) = delete;

    /// Rows, columns joined by `|`.
    std::vector<std::string> query(const std::string& sql)
    {
        std::vector<std::string> rows;
        char* error = nullptr;
        const auto collect = [](void* out, int count, char** values, char**) {
            std::string row;
            for (int i = 0; i < count; ++i)
                row += (i > 0 ? "|" : "") + std::string(values[i] != nullptr ? values[i] : "NULL");
            static_cast<std::vector<std::string>*>(out)->push_back(row);
            return 0;
        };
        const int code = sqlite3_exec(db_, sql.c_str(), collect, &rows, &error);
        INFO(sql << ": " << (error != nullptr ? error : ""));
        REQUIRE(code == SQLITE_OK);
        return rows;
    }

private:
    sqlite3* db_ = nullptr;
};

constexpr const char* mediaproxy_table =
    "CREATE TABLE media_sessions (id INTEGER PRIMARY KEY AUTOINCREMENT, call_id VARCHAR(255) NOT "
    "NULL, from_tag VARCHAR(64) NOT NULL, to_tag VARCHAR(64), info CHAR(16777215));"
    "CREATE UNIQUE INDEX media_sessions_callid_idx ON media_sessions (call_id, from_tag, to_tag)";

struct Fixture {
    Fixture() { settings = {{"path", path, ""}, {"busy_timeout", "0.05", ""}}; }

    std::unique_ptr<AccountingBackend> make()
    {
        PluginSource source;
        source.dir = BUILD_PLUGIN_DIR;
        source.name = "sqlite";
        source.settings = settings;
        source.host.log = lines.sink();
        source.host.state_dir = folder.path();
        auto made = AccountingBackend::load(io, source);
        if (!made)
            refusal = made.error().message;
        return made ? *std::move(made) : nullptr;
    }
    std::unique_ptr<AccountingBackend> open()
    {
        auto backend = make();
        REQUIRE(backend);
        REQUIRE(backend->open().message.empty());
        return backend;
    }

    asio::io_context io;
    fakes::TemporaryFolder folder;
    std::string path = folder / "sessions.sqlite";
    std::vector<Setting> settings;
    fakes::LogLines lines;
    std::string refusal;
};

Outcome write(AccountingBackend& backend, const std::vector<const AccountingRecord*>& records,
              std::uint32_t& done)
{
    std::vector<const mp_session_record*> pointers;
    for (const AccountingRecord* record : records)
        pointers.push_back(record->abi());
    return backend.write(pointers, done);
}

Outcome write(AccountingBackend& backend, const std::vector<const AccountingRecord*>& records)
{
    std::uint32_t done = 0;
    return write(backend, records, done);
}

} // namespace

TEST_CASE("the table is made at the first open and holds a row a session")
{
    Fixture f;
    const auto backend = f.open();
    const AccountingRecord first("r1", "call'1"), second("r2", "call2", "ftag", "");
    std::uint32_t done = 0;
    CHECK(write(*backend, {&first, &second}, done).ok());
    CHECK(done == 2);

    Sqlite file(f.path);
    CHECK(file.query("SELECT id, call_id, from_tag, to_tag, info, record_id FROM media_sessions") ==
          std::vector<std::string>{"1|call'1|ftag|ttag|" + first.json() + "|r1",
                                   "2|call2|ftag|NULL|" + second.json() + "|r2"});
    CHECK(file.query("PRAGMA journal_mode")[0] == "wal");
    CHECK(file.query(
              "SELECT count(*) FROM pragma_index_list('media_sessions') WHERE \"unique\"")[0] ==
          "1");
    CHECK(file.query("SELECT group_concat(name) FROM "
                     "pragma_index_info('media_sessions_callid_idx')")[0] ==
          "call_id,from_tag,to_tag");
    CHECK(f.lines.all().empty());
}

TEST_CASE("a record that comes again is written once, also by another process")
{
    Fixture f;
    const AccountingRecord first("r1", "call"), second("r2", "call");
    const auto backend = f.open();
    CHECK(write(*backend, {&first}).ok());
    CHECK(write(*backend, {&first, &second}).ok());
    CHECK(write(*f.open(), {&second, &first}).ok());
    CHECK(Sqlite(f.path).query("SELECT record_id FROM media_sessions") ==
          std::vector<std::string>{"r1", "r2"});
}

TEST_CASE("names of the table and its columns are settings")
{
    Fixture f;
    for (const auto& [key, value] : {std::pair{"sessions_table", "Calls"},
                                     {"callid_column", "callid"},
                                     {"fromtag_column", "f"},
                                     {"totag_column", "t"},
                                     {"info_column", "order"}})
        f.settings.push_back({key, value, ""});
    const AccountingRecord record("r1", "call");
    CHECK(write(*f.open(), {&record}).ok());
    CHECK(Sqlite(f.path).query("SELECT callid, f, t, \"order\", record_id FROM calls")[0] ==
          "call|ftag|ttag|" + record.json() + "|r1");
}

TEST_CASE("without a path the database is in the daemon's state folder")
{
    Fixture f;
    f.settings.clear();
    f.open();
    CHECK(std::filesystem::exists(f.folder / "sessions.sqlite"));
}

TEST_CASE("a wrong setting of the SQLite back end is refused by name")
{
    struct Case {
        const char* key;
        const char* value;
        const char* sentence;
    };
    const auto [key, value, sentence] = GENERATE(values<Case>({
        {"sessions_table", "a\"; DROP TABLE x; --", "sessions_table: not a name of letters"},
        {"sessions_table", "", "sessions_table: not a name"},
        {"sessions_table", "1st", "sessions_table: not a name"},
        {"callid_column", "call id", "callid_column: not a name"},
        {"info_column", "Record_ID", "column name used twice: record_id"},
        {"totag_column", "from_tag", "column name used twice: from_tag"},
        {"busy_timeout", "soon", "busy_timeout: not a number of seconds"},
        {"busy_timeout", "-1", "busy_timeout: not a number of seconds"},
        {"busy_timeout", "nan", "busy_timeout: not a number of seconds"},
        {"busy_timeout", "1e9", "busy_timeout: not a number of seconds"},
        {"tabel", "x", "accounting.sqlite.tabel: unknown setting"},
    }));
    CAPTURE(key, value);
    Fixture f;
    f.settings.push_back({key, value, ""});
    CHECK(f.make() == nullptr);
    CHECK_THAT(f.refusal, Contains(sentence));
}

TEST_CASE("in MediaProxy's own table a conflict is looked at")
{
    Fixture f;
    Sqlite file(f.path);
    file.query(mediaproxy_table);
    file.query("INSERT INTO media_sessions VALUES (NULL, 'call', 'ftag', 'ttag', 'not JSON')");
    const AccountingRecord first("r1", "call"), second("r2", "call"), third("r3", "fresh"),
        no_tag("r4", "call", "ftag", ""), no_tag_either("r5", "call", "ftag", "");
    const std::vector<const AccountingRecord*> all{&first, &second, &third, &no_tag,
                                                   &no_tag_either};
    const auto backend = f.open();
    CHECK(write(*backend, all).ok());
    CHECK(write(*backend, all).ok());
    CHECK(write(*f.open(), all).ok());

    CHECK(file.query("SELECT call_id, from_tag, to_tag, info FROM media_sessions ORDER BY id") ==
          std::vector<std::string>{
              "call|ftag|ttag|not JSON", "call|ftag|ttag#2|" + first.json(),
              "call|ftag|ttag#3|" + second.json(), "fresh|ftag|ttag|" + third.json(),
              "call|ftag|NULL|" + no_tag.json(), "call|ftag|NULL|" + no_tag_either.json()});
    CHECK(f.lines.count("already has call call with these tags") == 1);
}

TEST_CASE("a locked database is temporary and nothing is half written")
{
    Fixture f;
    const auto backend = f.open();
    Sqlite other(f.path);
    other.query("BEGIN IMMEDIATE");
    const AccountingRecord record("r1", "call");
    std::uint32_t done = 9;
    const Outcome outcome = write(*backend, {&record}, done);
    CHECK(outcome.status == MP_E_AGAIN);
    CHECK_THAT(outcome.message, Contains(f.path) && Contains("locked"));
    CHECK(done == 0);
    other.query("COMMIT");
    CHECK(backend->open().ok());
    CHECK(write(*backend, {&record}).ok());
    CHECK(other.query("SELECT count(*) FROM media_sessions")[0] == "1");
}

TEST_CASE("cancel ends the wait for a locked database at once, and the ones after it")
{
    Fixture f;
    f.settings[1].value = "3600";
    const auto backend = f.open();
    Sqlite other(f.path);
    other.query("BEGIN IMMEDIATE");
    const AccountingRecord record("r1", "call");
    Outcome outcome;
    std::thread worker([&] { outcome = write(*backend, {&record}); });
    backend->cancel();
    worker.join();
    CHECK(outcome.status == MP_E_AGAIN);
    CHECK(write(*backend, {&record}).status == MP_E_AGAIN);
}

TEST_CASE("a full disk keeps the records for later")
{
    Fixture f;
    const auto backend = f.open();
    std::vector<std::unique_ptr<AccountingRecord>> owned;
    std::vector<const AccountingRecord*> records;
    for (int i = 0; i < 500; ++i) {
        owned.push_back(
            std::make_unique<AccountingRecord>("r" + std::to_string(i), std::string(2000, 'c')));
        records.push_back(owned.back().get());
    }
    std::uint32_t done = 0;
    {
        const fakes::FileSizeLimit full(200 * 1024);
        const Outcome outcome = write(*backend, records, done);
        CHECK(outcome.status == MP_E_AGAIN);
        CHECK_THAT(outcome.message, Contains(f.path));
        CHECK(done == 0);
    }
    CHECK(backend->open().ok());
    CHECK(write(*backend, records, done).ok());
    CHECK(done == 500);
    CHECK(Sqlite(f.path).query("SELECT count(*) FROM media_sessions")[0] == "500");
}

TEST_CASE("a record that the table refuses is named and the ones before it are kept")
{
    Fixture f;
    f.open();
    Sqlite file(f.path);
    file.query("CREATE TRIGGER no_bad BEFORE INSERT ON media_sessions WHEN NEW.call_id = 'bad' "
               "BEGIN SELECT RAISE(ABORT, 'bad call'); END");
    const auto backend = f.open();
    const AccountingRecord good("r1", "good"), bad("r2", "bad"), late("r3", "late");
    std::uint32_t done = 0;
    const Outcome outcome = write(*backend, {&good, &bad, &late}, done);
    CHECK(outcome.status == MP_E_FAILED);
    CHECK_THAT(outcome.message, Contains("record r2: bad call"));
    CHECK(done == 1);
    CHECK(file.query("SELECT record_id FROM media_sessions") == std::vector<std::string>{"r1"});
}

TEST_CASE("a table that may not be made is asked for once, with its definition")
{
    Fixture f;
    Sqlite(f.path).query("PRAGMA user_version = 1");
    ::chmod(f.path.c_str(), 0444);
    ::chmod(f.folder.path().c_str(), 0755);
    const auto backend = f.make(); // the plugin may lie where only root may look
    REQUIRE(backend);
    const fakes::Unprivileged nobody;
    const Outcome outcome = backend->open();
    CHECK(outcome.status == MP_E_AGAIN);
    CHECK_THAT(outcome.message, Contains("table media_sessions cannot be made"));
    CHECK(backend->open().status == MP_E_AGAIN);
    CHECK(f.lines.count(
              "CREATE TABLE IF NOT EXISTS \"media_sessions\" (\"id\" INTEGER PRIMARY KEY") == 1);
}

TEST_CASE("a database that cannot be used is tried again later")
{
    Fixture f;
    SECTION("its folder does not exist")
    {
        f.settings[0].value = f.folder / "no/such/folder/x.sqlite";
    }
    SECTION("it is not a database")
    {
        f.folder.write("sessions.sqlite", std::string(5000, 'x'));
    }
    SECTION("its table lacks a column")
    {
        Sqlite(f.path).query("CREATE TABLE media_sessions (call_id, from_tag, info)");
    }
    const auto backend = f.make();
    REQUIRE(backend);
    const Outcome outcome = backend->open();
    CHECK(outcome.status == MP_E_AGAIN);
    CHECK_THAT(outcome.message, Contains(f.settings[0].value));
    const AccountingRecord record("r1", "call");
    CHECK(write(*backend, {&record}).status == MP_E_AGAIN);
}

TEST_CASE("a database file that is moved away is not written behind everybody's back")
{
    Fixture f;
    const auto backend = f.open();
    const AccountingRecord first("r1", "call1"), second("r2", "call2");
    CHECK(write(*backend, {&first}).ok());
    for (const char* suffix : {"", "-wal", "-shm"})
        std::filesystem::rename(f.path + suffix, f.folder / "old" + suffix);
    CHECK(write(*backend, {&second}).status == MP_E_AGAIN);
    CHECK(backend->open().ok());
    CHECK(write(*backend, {&second}).ok());
    CHECK(Sqlite(f.path).query("SELECT record_id FROM media_sessions") ==
          std::vector<std::string>{"r2"});
    CHECK(Sqlite(f.folder / "old").query("SELECT record_id FROM media_sessions") ==
          std::vector<std::string>{"r1"});
}
