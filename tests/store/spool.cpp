// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <atomic>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <future>
#include <thread>

#include "fakes/captured_log.hpp"
#include "fakes/file_size_limit.hpp"
#include "fakes/temporary_folder.hpp"
#include "opened.hpp"
#include "store/clock.hpp"

using namespace mediaproxy;
using namespace mediaproxy::store;

namespace
{

/// The schema as version 1 made it, with what it held.
constexpr const char* version_1 =
    "PRAGMA journal_mode = WAL;"
    "CREATE TABLE state (name TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,"
    " PRIMARY KEY (name, key)) WITHOUT ROWID;"
    "CREATE TABLE spool (sequence INTEGER PRIMARY KEY AUTOINCREMENT,"
    " backend TEXT NOT NULL, record_id TEXT NOT NULL, body TEXT NOT NULL, parked TEXT);"
    "CREATE INDEX spool_waiting ON spool (backend, sequence) WHERE parked IS NULL;"
    "CREATE TABLE starts (number INTEGER NOT NULL);"
    "PRAGMA user_version = 1;"
    "INSERT INTO state VALUES ('sessions', 'a', 'value');"
    "INSERT INTO spool (backend, record_id, body) VALUES ('x', 'r1', '{1}'), ('x', 'r2', '{2}'),"
    " ('y', 'r2', '{2}');"
    "UPDATE spool SET parked = 'too long' WHERE sequence = 2;"
    "INSERT INTO starts VALUES (4000000000);";

/// How often the WAL began anew, as its header tells
/// (https://www.sqlite.org/fileformat2.html, 4.1).
std::uint32_t beginnings_of_wal(const std::string& path)
{
    std::ifstream wal(path + "-wal", std::ios::binary);
    std::array<unsigned char, 16> header{};
    wal.read(reinterpret_cast<char*>(header.data()), header.size());
    REQUIRE(wal);
    return std::uint32_t{header[12]} << 24 | std::uint32_t{header[13]} << 16 |
           std::uint32_t{header[14]} << 8 | header[15];
}

} // namespace

TEST_CASE("a file of version 1 is migrated with everything in it")
{
    const fakes::TemporaryFolder folder;
    const std::string path = folder / "s.sqlite";
    run(path, version_1);
    for (int start = 0; start < 2; ++start) { // the second time it is of version 2 already
        const auto store = open(path);
        CHECK(load(*store, "sessions") == std::map<std::string, std::string>{{"a", "value"}});
        CHECK(waiting(*store, "x") == std::vector<std::string>{"r1"});
        CHECK(waiting(*store, "y") == std::vector<std::string>{"r2"});
        const auto counts = store->count();
        REQUIRE(counts->size() == 2);
        CHECK(counts->at(0).parked == 1);
        CHECK(unstepped_time() - counts->at(0).oldest < long_enough.count());
        CHECK(store->first_id() >> 32 > 4000000000);
    }
    const auto store = open(path);
    REQUIRE(store->put_record({"y"}, "r3", "{3}"));
    REQUIRE(store->flush(long_enough));
    CHECK(waiting(*store, "y") == std::vector<std::string>{"r2", "r3"});
}

TEST_CASE("what is held is committed together or not at all")
{
    const fakes::TemporaryFolder folder;
    const auto store = open(folder / "s.sqlite");
    store->save("sessions", "call", "v");
    REQUIRE(store->flush(long_enough));
    std::atomic<int> mixed = 0;
    store->listen("x", [&] { mixed += load(*store, "sessions").empty() ? 0 : 1; });
    for (int i = 0; i < 50; ++i) {
        store->hold();
        REQUIRE(store->put_record({"x"}, std::to_string(i), "{}"));
        std::this_thread::sleep_for(Milliseconds{1}); // the writer would come in between
        store->erase("sessions", "call");
        store->release();
        REQUIRE(store->flush(long_enough));
        store->hold();
        store->save("sessions", "call", "v");
        store->release();
        REQUIRE(store->flush(long_enough));
    }
    CHECK(mixed == 0);
    CHECK(waiting(*store, "x").size() == 50);
}

TEST_CASE("a writer that was busy or asleep meanwhile commits what was held")
{
    const fakes::TemporaryFolder folder;
    const auto store = open(folder / "s.sqlite");
    for (int i = 0; i < 300; ++i) {
        if (i % 3 == 0)
            store->save("t", "before", std::to_string(i));
        store->hold();
        if (i % 2 == 0)
            store->save("t", "within", std::to_string(i));
        if (i % 5 == 0)
            REQUIRE(store->put_record({"x"}, std::to_string(i), "{}"));
        std::atomic<bool> told = false;
        store->when_durable([&] { told = true; });
        store->release();
        await([&] { return told.load(); });
    }
    CHECK(waiting(*store, "x").size() == 60);
}

TEST_CASE("a hold does not outlive the store, nor a flush")
{
    const fakes::TemporaryFolder folder;
    {
        const auto store = open(folder / "s.sqlite");
        store->hold();
        REQUIRE(store->put_record({"x"}, "r1", "{}"));
        REQUIRE(store->flush(long_enough));
        store->hold();
        REQUIRE(store->put_record({"x"}, "r2", "{}"));
    }
    CHECK(waiting(*open(folder / "s.sqlite"), "x").size() == 2);
}

TEST_CASE("what is committed is brought to the disk within the interval")
{
    const fakes::TemporaryFolder folder;
    const auto store = open(folder / "s.sqlite", {.sync_interval = Milliseconds{20}});
    for (int round = 0; round < 3; ++round) {
        REQUIRE(store->put_record({"x"}, std::to_string(round), "{}"));
        REQUIRE(store->flush(long_enough));
        await([&] { return store->is_synced(); });
    }
}

TEST_CASE("the WAL does not grow for ever while the store is never idle")
{
    const fakes::TemporaryFolder folder;
    const std::string path = folder / "s.sqlite";
    const auto store = open(path, {.sync_interval = Milliseconds{2}});
    std::uint64_t after = 0, round = 0;
    const auto write_and_read = [&] {
        for (int i = 0; i < 50; ++i)
            REQUIRE(
                store->put_record({"x"}, fmt::format("{}-{}", round, i), std::string(3000, 'b')));
        if (++round % 4 == 0)
            REQUIRE(store->flush(long_enough));
        const auto batch = store->waiting("x", after, 100);
        REQUIRE(batch);
        for (const auto& record : *batch) {
            store->done(record.sequence);
            after = record.sequence;
        }
    };
    for (int i = 0; i < 4; ++i)
        write_and_read();
    const std::uint32_t first = beginnings_of_wal(path);
    const auto limit = std::chrono::steady_clock::now() + long_enough;
    while (beginnings_of_wal(path) < first + 2 && std::chrono::steady_clock::now() < limit)
        write_and_read();
    CHECK(beginnings_of_wal(path) >= first + 2);
}

TEST_CASE("the spool in memory works the same, leaves no file and survives nothing")
{
    const fakes::TemporaryFolder folder;
    const std::string path = folder / "s.sqlite";
    const Options options{.spool = Options::Spool::memory};
    std::string prefix;
    {
        const auto store = open(path, options);
        prefix = store->record_id_prefix();
        store->save("t", "k", "v");
        REQUIRE(store->put_record({"x", "y"}, "r1", "{}"));
        std::atomic<bool> told = false;
        store->when_durable([&] { told = true; });
        await([&] { return told.load(); });
        CHECK(load(*store, "t").size() == 1);
        CHECK(waiting(*store, "x") == std::vector<std::string>{"r1"});
        store->done(store->waiting("x", 0, 1)->front().sequence);
        await([&] {
            const auto counts = store->last_count();
            return counts.size() == 1 && counts[0].backend == "y" && counts[0].waiting == 1;
        });
        const auto second = open(path, options); // no lock: nothing is shared
    }
    CHECK(std::filesystem::is_empty(folder.path()));
    const auto store = open(path, options);
    CHECK(waiting(*store, "y").empty());
    CHECK(store->record_id_prefix() != prefix);
}

TEST_CASE("how full the spool is can be asked without waiting for the disk")
{
    const fakes::TemporaryFolder folder;
    const auto store = open(folder / "s.sqlite");
    CHECK(store->last_count().empty());
    for (const char* id : {"r1", "r2", "r3"})
        REQUIRE(store->put_record({"x"}, id, "{}"));
    REQUIRE(store->flush(long_enough));
    const auto all = store->waiting("x", 0, 10);
    store->park(all->at(1).sequence, "too long");
    await([&] {
        const auto counts = store->last_count();
        return counts.size() == 1 && counts[0].waiting == 2 && counts[0].parked == 1;
    });
    const std::int64_t age = unstepped_time() - store->last_count()[0].oldest;
    CHECK(age >= 0);
    CHECK(age < long_enough.count());
}

TEST_CASE("records that are in memory only are known, with their age and the reason")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const auto store = open(folder / "s.sqlite");
    CHECK_FALSE(store->unwritten());
    {
        const fakes::FileSizeLimit full(64 * 1024);
        for (int i = 0; i < 10; ++i)
            REQUIRE(store->put_record({"x"}, std::to_string(i), std::string(20000, 'b')));
        await([&] { return store->unwritten() && !store->unwritten()->reason.empty(); });
        REQUIRE(store->put_record({"x"}, "one more", "{}"));
        const auto unwritten = store->unwritten();
        REQUIRE(unwritten);
        CHECK(unwritten->records >= 1);
        CHECK(unwritten->records <= 11);
        CHECK(unwritten->age > Duration{0});
        CHECK(unwritten->reason.find("s.sqlite: cannot be written") != std::string::npos);
    }
    REQUIRE(store->flush(long_enough));
    await([&] { return !store->unwritten(); });
    CHECK(waiting(*store, "x").size() == 11);
}

TEST_CASE("records that are done in any order go, and no other")
{
    const fakes::TemporaryFolder folder;
    const auto store = open(folder / "s.sqlite");
    for (int i = 0; i < 10; ++i)
        REQUIRE(store->put_record({"x", "y"}, std::to_string(i), "{}"));
    REQUIRE(store->flush(long_enough));
    const auto records = store->waiting("x", 0, 100);
    REQUIRE(records);
    REQUIRE(records->size() == 10);
    for (const std::size_t which : {7U, 2U, 3U, 3U, 9U, 0U})
        store->done(records->at(which).sequence);
    const std::uint64_t sequence = store->waiting("y", 0, 1)->front().sequence;
    store->done(sequence); // right beside one of x
    REQUIRE(store->flush(long_enough));
    CHECK(waiting(*store, "x") == std::vector<std::string>{"1", "4", "5", "6", "8"});
    CHECK(waiting(*store, "y").size() == 9);
    CHECK(waiting(*store, "y").front() == "1");
}

namespace
{

/// For back end x, as they wait in the store.
std::vector<Store::Record> put_500(Store& store)
{
    for (int i = 0; i < 500; ++i)
        REQUIRE(store.put_record({"x"}, std::to_string(i), "{}"));
    REQUIRE(store.flush(long_enough));
    auto records = store.waiting("x", 0, 500);
    REQUIRE(records);
    REQUIRE(records->size() == 500);
    return *std::move(records);
}

} // namespace

TEST_CASE("a back end that is done with very many keeps nobody waiting, and all of them go")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const auto store = open_without_journal(folder / "s.sqlite");
    const auto records = put_500(*store);
    store->hold();
    for (const Store::Record& record : records)
        store->done(record.sequence);
    REQUIRE(store->put_record({"x"}, "new", "{}"));
    // Told as soon as the new record is there: most of what is done still waits to go.
    std::promise<std::size_t> left;
    store->when_durable([&] { // on the writer's thread: Catch2 is for this one
        const auto now = store->waiting("x", 0, 1000);
        left.set_value(now ? now->size() : 0);
    });
    store->release();
    CHECK(left.get_future().get() > 450);
    await([&] { return waiting(*store, "x") == std::vector<std::string>{"new"}; });
}

TEST_CASE("a flush leaves nothing of what is done for later")
{
    const fakes::TemporaryFolder folder;
    const auto store = open(folder / "s.sqlite");
    const auto records = put_500(*store);
    for (const Store::Record& record : records)
        store->done(record.sequence);
    REQUIRE(store->flush(long_enough));
    CHECK(waiting(*store, "x").empty());
}
