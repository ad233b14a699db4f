// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>
#include <memory>
#include <vector>

#include "fake_database.hpp"
#include "fakes/accounting_record.hpp"
#include "support/record_table.hpp"

using namespace mediaproxy::plugin_support;
using Catch::Matchers::Contains;
using mediaproxy::fakes::AccountingRecord;
using mediaproxy::fakes::FakeDatabase;
using mediaproxy::fakes::FakeDriver;
using Told = std::vector<std::string>;

namespace
{

struct Fixture {
    RecordTable make()
    {
        return RecordTable(std::make_unique<FakeDriver>(database), {},
                           [this](mp_log_level, const std::string& line) { log.push_back(line); });
    }
    void add(std::string id, std::string call_id, std::string to_tag = "t")
    {
        records.push_back(std::make_unique<AccountingRecord>(std::move(id), std::move(call_id), "f",
                                                             std::move(to_tag)));
    }
    Outcome write()
    {
        std::vector<const mp_session_record*> pointers;
        for (const auto& record : records)
            pointers.push_back(record->abi());
        return table.write(pointers, done);
    }
    std::size_t logged(std::string_view words) const
    {
        return static_cast<std::size_t>(
            std::count_if(log.begin(), log.end(), [&](const std::string& line) {
                return line.find(words) != std::string::npos;
            }));
    }
    /// A table as MediaProxy makes it.
    void mediaproxys()
    {
        database.exists = true;
        database.has_record_id = false;
    }

    FakeDatabase database;
    std::vector<std::string> log;
    std::vector<std::unique_ptr<AccountingRecord>> records;
    std::uint32_t done = 99;
    RecordTable table = make();
};

const SqlOutcome refusal{Fault::refused, "permission denied"};
const SqlOutcome loss{Fault::unavailable, "the connection is lost"};

} // namespace

TEST_CASE("a table that is missing is made, and a batch is one transaction and one statement")
{
    Fixture f;
    CHECK(f.table.open().status == MP_OK);
    for (int i = 0; i < 100; ++i)
        f.add("r" + std::to_string(i), "call");
    CHECK(f.write().status == MP_OK);
    CHECK(f.done == 100);
    CHECK(f.database.rows.size() == 100);
    CHECK(f.database.count("INSERT") == 1);
    CHECK(f.database.count("COMMIT") == 2); // the table's, the batch's
    CHECK(f.log.empty());
}

TEST_CASE("large records are spread over several statements of one transaction")
{
    Fixture f;
    f.table.open();
    for (int i = 0; i < 10; ++i)
        f.add("r" + std::to_string(i), std::string(100'000, 'c'));
    CHECK(f.write().status == MP_OK);
    CHECK(f.database.rows.size() == 10);
    CHECK(f.database.count("INSERT") == 5);
    CHECK(f.database.count("COMMIT") == 2);
}

TEST_CASE("a table that may not be made is left to a person, who is told once how")
{
    Fixture f;
    f.database.interfere = [](const std::string& sql) {
        return sql.starts_with("CREATE") ? refusal : SqlOutcome();
    };
    const Outcome outcome = f.table.open();
    CHECK(outcome.status == MP_E_AGAIN);
    CHECK(outcome.message == "fake: table media_sessions cannot be made: permission denied");
    CHECK(f.table.open().status == MP_E_AGAIN);
    CHECK(f.write().status == MP_E_AGAIN);
    CHECK(f.logged("permission denied; for a person to run: CREATE TABLE IF NOT EXISTS "
                   "`media_sessions` (`id` BIGINT") == 1);
    f.database.exists = true;
    CHECK(f.table.open().status == MP_OK);
    f.database.exists = false;
    CHECK(f.table.open().status == MP_E_AGAIN);
    CHECK(f.logged("for a person to run") == 2);
}

TEST_CASE("a table that somebody else makes meanwhile is made")
{
    Fixture f;
    f.database.interfere = [&](const std::string& sql) {
        f.database.exists = f.database.exists || sql.starts_with("CREATE");
        return sql.starts_with("CREATE") ? SqlOutcome{Fault::refused, "already exists"}
                                         : SqlOutcome();
    };
    CHECK(f.table.open().status == MP_OK);
    CHECK(f.log.empty());
}

TEST_CASE("a connection that is lost while the table is made is nobody's refusal")
{
    Fixture f;
    f.database.interfere = [](const std::string& sql) {
        return sql.starts_with("CREATE") ? loss : SqlOutcome();
    };
    CHECK(f.table.open().status == MP_E_AGAIN);
    CHECK(f.log.empty());
    CHECK_FALSE(f.database.connected);
}

TEST_CASE("a table without our columns is named, with the definition that it should have")
{
    Fixture f;
    f.database.exists = true;
    f.database.columns.pop_back();
    const Outcome outcome = f.table.open();
    CHECK(outcome.status == MP_E_AGAIN);
    CHECK(outcome.message == "fake: table media_sessions has no column info");
    CHECK(f.logged("no column info; for a person to run: CREATE TABLE") == 1);
}

TEST_CASE("what the database did before the answer was lost is not done again")
{
    const bool ours = GENERATE(true, false);
    const std::string to_tag = GENERATE("t", "");
    CAPTURE(ours, to_tag);
    Fixture f;
    if (!ours)
        f.mediaproxys();
    CHECK(f.table.open().status == MP_OK);
    for (int i = 0; i < 10; ++i)
        f.add("r" + std::to_string(i), "call" + std::to_string(i), to_tag);
    f.database.lose_answer_to_commit = true;
    CHECK(f.write().status == MP_E_AGAIN);
    CHECK(f.done == 0);
    CHECK(f.database.rows.size() == 10);
    CHECK_FALSE(f.database.connected);
    CHECK(f.write().status == MP_E_AGAIN); // not before open()
    CHECK(f.table.open().status == MP_OK);
    f.add("r10", "call10", to_tag);
    CHECK(f.write().status == MP_OK);
    CHECK(f.done == 11);
    CHECK(f.database.rows.size() == 11);
}

TEST_CASE("a record that comes twice in one batch is written once")
{
    Fixture f;
    if (GENERATE(false, true))
        f.mediaproxys();
    f.table.open();
    f.add("r1", "call", "");
    f.add("r1", "call", "");
    CHECK(f.write().status == MP_OK);
    CHECK(f.done == 2);
    CHECK(f.database.rows.size() == 1);
}

TEST_CASE("one that the database refuses is found in its batch, with those before it written")
{
    const int bad = GENERATE(0, 1, 37, 98, 99);
    CAPTURE(bad);
    Fixture f;
    f.table.open();
    f.database.judge = [&](const FakeDatabase::Values& row) {
        return row[0] == "call" + std::to_string(bad) ? SqlOutcome{Fault::record, "no such call"}
                                                      : SqlOutcome();
    };
    for (int i = 0; i < 100; ++i)
        f.add("r" + std::to_string(i), "call" + std::to_string(i));
    const Outcome outcome = f.write();
    CHECK(outcome.status == MP_E_FAILED);
    CHECK(outcome.message == "fake: record r" + std::to_string(bad) + ": no such call");
    CHECK(f.done == static_cast<std::uint32_t>(bad));
    CHECK(f.database.rows.size() == static_cast<std::size_t>(bad));
    CHECK(f.database.connected);
    CHECK(f.database.connects == 1);
    // What comes behind it is written without it, as the host does.
    f.records.erase(f.records.begin(), f.records.begin() + bad + 1);
    CHECK(f.write().status == MP_OK);
    CHECK(f.database.rows.size() == 99);
}

TEST_CASE("trouble of the database costs no record")
{
    const Fault fault = GENERATE(Fault::unavailable, Fault::refused, Fault::no_table);
    const std::string at = GENERATE("BEGIN", "INSERT", "COMMIT");
    CAPTURE(static_cast<int>(fault), at);
    Fixture f;
    f.table.open();
    f.add("r1", "call1");
    f.add("r2", "call2");
    f.database.interfere = [&](const std::string& sql) {
        return sql.starts_with(at) ? SqlOutcome{fault, "trouble"} : SqlOutcome();
    };
    const Outcome outcome = f.write();
    CHECK(outcome.status == MP_E_AGAIN);
    CHECK_THAT(outcome.message, Contains("fake: ") && Contains("trouble"));
    CHECK(f.done == 0);
    CHECK(f.database.rows.empty());
    f.database.interfere = [](const std::string&) { return SqlOutcome(); };
    CHECK(f.table.open().status == MP_OK);
    CHECK(f.write().status == MP_OK);
    CHECK(f.database.rows.size() == 2);
}

TEST_CASE("a table that was dropped is made again at the next open")
{
    Fixture f;
    f.table.open();
    f.database.exists = false;
    f.add("r1", "call");
    CHECK(f.write().status == MP_E_AGAIN);
    CHECK(f.table.open().status == MP_OK);
    CHECK(f.write().status == MP_OK);
    CHECK(f.database.rows.size() == 1);
}

TEST_CASE("in MediaProxy's table others stay as they are and ours get the next number")
{
    Fixture f;
    f.mediaproxys();
    f.database.rows = {
        {"call", "f", "t", "{}"}, {"call", "f", "t#7", "{}"}, {"call", "f", "t#x", "{}"}};
    CHECK(f.table.open().status == MP_OK);
    f.add("r1", "call");
    f.add("r2", "call");
    f.add("r3", "fresh");
    f.add("r4", "call", "");
    f.add("r5", "call", "");
    for (int again = 0; again < 2; ++again) {
        CHECK(f.write().status == MP_OK);
        CHECK(f.done == 5);
        CHECK(f.database.told() == Told{"t {}", "t#7 {}", "t#x {}", "t#8 " + f.records[0]->json(),
                                        "t#9 " + f.records[1]->json(), "t " + f.records[2]->json(),
                                        "NULL " + f.records[3]->json(),
                                        "NULL " + f.records[4]->json()});
    }
    CHECK(f.logged("already has call call with these tags") == 1);
}

TEST_CASE("a number fits into the column behind a tag that fills it")
{
    Fixture f;
    f.mediaproxys();
    f.table.open();
    const std::string tag(64, 't');
    for (int i = 1; i <= 11; ++i)
        f.add("r" + std::to_string(i), "call", tag);
    CHECK(f.write().status == MP_OK);
    REQUIRE(f.database.rows.size() == 11);
    CHECK(f.database.rows[1][2] == tag.substr(2) + "#2");
    CHECK(f.database.rows[10][2] == tag.substr(3) + "#11");
}

TEST_CASE("text is cut at what the table has room for, which is told once a column")
{
    Fixture f;
    f.database.exists = true;
    f.database.columns[1].characters = 5;
    f.table.open();
    f.add("r1", "123456789", std::string(70, 't'));
    f.add("r2", "123456789");
    CHECK(f.write().status == MP_OK);
    CHECK(f.database.rows[0][0] == "12345");
    CHECK(f.database.rows[0][2] == std::string(64, 't'));
    CHECK(f.database.rows[0][3] == f.records[0]->json());
    CHECK(f.log.size() == 2);
    CHECK(f.logged("call_id of record r1 is cut at the column's 5 characters") == 1);
    CHECK(f.logged("to_tag of record r1 is cut at the column's 64 characters") == 1);
}

TEST_CASE("letters that the table has no place for become question marks, but not in the JSON")
{
    Fixture f;
    f.table.open();
    f.database.judge = [](const FakeDatabase::Values& row) {
        for (const auto& value : row)
            for (const char c : value.value_or(""))
                if ((c & 0x80) != 0)
                    return SqlOutcome{Fault::record, "incorrect string value"};
        return SqlOutcome();
    };
    f.add("r1", "caf\xc3\xa9");
    f.add("r2", "plain");
    CHECK(f.write().status == MP_OK);
    CHECK(f.database.rows[0][0] == "caf?");
    CHECK(f.database.rows[0][3] == R"({"call_id": "caf\u00e9", "record_id": "r1"})");
    CHECK(f.database.rows[1][0] == "plain");
    CHECK(f.logged("takes no such characters as record r1 has (incorrect string value)") == 1);
}

TEST_CASE("a record whose id is none is refused in its turn")
{
    const std::string id = GENERATE(std::string(), std::string(65, 'r'));
    Fixture f;
    f.table.open();
    f.add("r1", "call1");
    f.add(id, "call2");
    f.add("r3", "call3");
    const Outcome outcome = f.write();
    CHECK(outcome.status == MP_E_FAILED);
    CHECK_THAT(outcome.message, Contains("record_id is not of 1 to 64 characters"));
    CHECK(f.done == 1);
    CHECK(f.database.rows.size() == 1);
}
