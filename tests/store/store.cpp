// SPDX-License-Identifier: GPL-2.0-or-later
#include <atomic>
#include <catch2/catch.hpp>
#include <future>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "fakes/captured_log.hpp"
#include "fakes/file_size_limit.hpp"
#include "fakes/temporary_folder.hpp"
#include "opened.hpp"

using namespace mediaproxy;
using namespace mediaproxy::store;
using Catch::Matchers::Contains;

TEST_CASE("state is there again after a restart, byte for byte")
{
    const fakes::TemporaryFolder folder;
    const std::string odd_key("k\0\n'\xff", 5), odd_value("\0\xfe", 2);
    {
        const auto store = open(folder / "state.sqlite");
        store->save("sessions", "a", "1");
        store->save("sessions", "b", "2");
        store->save("sessions", odd_key, odd_value);
        store->save("relays", "a", "");
        REQUIRE(store->flush(long_enough));
        store->save("sessions", "a", "changed");
        store->erase("sessions", "b");
    }
    const auto store = open(folder / "state.sqlite");
    CHECK(load(*store, "sessions") ==
          std::map<std::string, std::string>{{"a", "changed"}, {odd_key, odd_value}});
    CHECK(load(*store, "relays") == std::map<std::string, std::string>{{"a", ""}});
    CHECK(load(*store, "unknown").empty());

    store->erase("sessions", "a"); // known from the file alone
    REQUIRE(store->flush(long_enough));
    CHECK(load(*store, "sessions").size() == 1);
}

TEST_CASE("records wait for each back end in their order until it is done with them")
{
    const fakes::TemporaryFolder folder;
    {
        const auto store = open(folder / "state.sqlite");
        REQUIRE(store->put_record({"x", "y"}, "r1", "{1}"));
        REQUIRE(store->put_record({"x"}, "r2", "{2}"));
        REQUIRE(store->put_record({"x", "y"}, "r3", "{3}"));
        REQUIRE(store->put_record({}, "r4", "{4}"));
    }
    const auto store = open(folder / "state.sqlite");
    CHECK(waiting(*store, "x") == std::vector<std::string>{"r1", "r2", "r3"});
    CHECK(waiting(*store, "y") == std::vector<std::string>{"r1", "r3"});

    const auto first = store->waiting("x", 0, 1);
    REQUIRE(first);
    REQUIRE(first->size() == 1);
    CHECK(first->front().body == "{1}");
    CHECK(waiting(*store, "x", first->front().sequence) == std::vector<std::string>{"r2", "r3"});

    store->done(first->front().sequence);
    store->park(store->waiting("y", 0, 1)->front().sequence, "too long");
    REQUIRE(store->flush(long_enough));
    CHECK(waiting(*store, "x") == std::vector<std::string>{"r2", "r3"});
    CHECK(waiting(*store, "y") == std::vector<std::string>{"r3"});

    const auto counts = store->count();
    REQUIRE(counts);
    REQUIRE(counts->size() == 2);
    CHECK(counts->at(0).waiting == 2);
    CHECK(counts->at(1).backend == "y");
    CHECK(counts->at(1).waiting == 1);
    CHECK(counts->at(1).parked == 1);
}

TEST_CASE("a back end is told when records for it are on disk")
{
    const fakes::TemporaryFolder folder;
    const auto store = open(folder / "state.sqlite");
    std::atomic<int> x = 0, y = 0;
    std::atomic<std::size_t> seen = 0;
    store->listen("x", [&] { // on the writer's thread: Catch2 is for this one
        const auto records = store->waiting("x", 0, 10);
        seen = records ? records->size() : 0;
        ++x;
    });
    store->listen("y", [&] { ++y; });
    REQUIRE(store->put_record({"x"}, "r1", "{}"));
    store->save("t", "k", "v");
    REQUIRE(store->flush(long_enough));
    CHECK(x == 1);
    CHECK(seen == 1);
    CHECK(y == 0);
    store->listen("x", {});
    REQUIRE(store->put_record({"x"}, "r2", "{}"));
    REQUIRE(store->flush(long_enough));
    CHECK(x == 1);
}

TEST_CASE("without a journal whoever wants a write to survive waits for its commit")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const auto store = open_without_journal(folder / "state.sqlite");
    CHECK(log.count("state.sqlite.journal: File too large: every call's end waits") == 1);
    bool at_once = false;
    store->when_durable([&] { at_once = true; });
    CHECK(at_once);

    REQUIRE(store->put_record({"x"}, "id", "body"));
    std::promise<void> told;
    store->when_durable([&] { told.set_value(); });
    REQUIRE(told.get_future().wait_for(long_enough) == std::future_status::ready);
    CHECK(store->waiting("x", 0, 10)->size() == 1);
}

TEST_CASE("what was flushed survives a kill -9, and the store opens again")
{
    const fakes::TemporaryFolder folder;
    const std::string path = folder / "state.sqlite";
    kill_after(path, [](Store& store) {
        for (int i = 0; i < 200; ++i) {
            store.save("sessions", std::to_string(i), "v");
            if (!store.put_record({"x"}, std::to_string(i), "{}"))
                ::_exit(2);
        }
        if (!store.flush(long_enough))
            ::_exit(3);
    });
    const auto store = open(path);
    CHECK(load(*store, "sessions").size() == 200);
    CHECK(waiting(*store, "x").size() == 200);
}

TEST_CASE("numbers and record ids are never given out twice, even when the file is lost")
{
    const fakes::TemporaryFolder folder;
    std::uint64_t last = 0;
    std::string prefix;
    for (const char* name : {"a", "a", "a", "b"}) {
        const auto store = open(folder / name);
        CHECK((store->first_id() > last || name[0] == 'b'));
        CHECK(store->first_id() >> 63 == 0);
        CHECK((store->first_id() & 0xffffffff) == 1);
        CHECK(store->record_id_prefix() != prefix);
        CHECK(store->record_id_prefix().size() < 30);
        last = store->first_id();
        prefix = store->record_id_prefix();
    }
}

TEST_CASE("a store that cannot be opened is an error that names it")
{
    const fakes::TemporaryFolder folder;
    const std::string path = folder / "state.sqlite";
    SECTION("its folder does not exist")
    {
        const auto refused = Store::open(folder / "no/state.sqlite");
        REQUIRE_FALSE(refused);
        CHECK_THAT(refused.error().message, Contains(folder / "no/state.sqlite"));
    }
    SECTION("another process has it")
    {
        const auto store = open(path);
        const auto refused = Store::open(path);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().message == path + ": in use by another process");
    }
    SECTION("a newer version made it")
    {
        run(path, "PRAGMA user_version = 99");
        const auto refused = Store::open(path);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().message == path + ": was made by a newer mediaproxyd");
    }
}

TEST_CASE("a store is readable by its owner's group at most")
{
    const fakes::TemporaryFolder folder;
    const auto store = open(folder / "state.sqlite");
    store->save("t", "k", "v");
    REQUIRE(store->flush(long_enough));
    for (const char* name : {"state.sqlite", "state.sqlite-wal"}) {
        struct stat file {
        };
        REQUIRE(::stat((folder / name).c_str(), &file) == 0);
        CHECK((file.st_mode & 0027) == 0);
    }
}

TEST_CASE("a disk that fails is logged once, its changes wait and are written when it is back")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const auto store = open(folder / "state.sqlite");
    {
        const fakes::FileSizeLimit full(64 * 1024);
        for (int i = 0; i < 100; ++i)
            REQUIRE(store->put_record({"x"}, std::to_string(i), std::string(4000, 'b')));
        while (log.count("changes wait in memory") == 0)
            std::this_thread::yield();
        CHECK_FALSE(store->flush(Milliseconds{50}));
        store->save("t", "k", "v");
    }
    REQUIRE(store->flush(long_enough));
    CHECK(waiting(*store, "x").size() == 100);
    CHECK(load(*store, "t").size() == 1);
    CHECK(log.count("changes wait in memory") == 1);
    CHECK(log.count("can be written again") == 1);
}

TEST_CASE("records fill only so much memory while the disk fails, and what is lost is in the log")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    {
        const fakes::FileSizeLimit full(64 * 1024);
        // Closes while the disk still fails.
        const auto store = open(folder / "state.sqlite", {.record_memory = 64UL * 1024 * 1024});
        const std::string body(4 * 1024 * 1024, 'b');
        int taken = 0;
        while (store->put_record({"x"}, std::to_string(taken), body))
            ++taken;
        CHECK(taken == 16);
        CHECK_FALSE(store->put_record({"x"}, "one more", body));
        while (log.count("changes wait in memory") == 0)
            std::this_thread::yield();
    }
    CHECK(log.count("accounting records unwritten") >= 1);
    CHECK(log.count("lost accounting record for x: bbb") == 16);
}

TEST_CASE("many threads may write at once")
{
    const fakes::TemporaryFolder folder;
    const auto store = open(folder / "state.sqlite");
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) {
        threads.emplace_back([&, t] {
            for (int i = 0; i < 500; ++i) {
                const std::string key = std::to_string(t) + "." + std::to_string(i);
                store->save("t", key, "v");
                if (i % 2 == 0)
                    store->erase("t", key);
                if (i % 100 == 0)
                    (void)store->flush(long_enough);
            }
        });
    }
    for (std::thread& thread : threads)
        thread.join();
    REQUIRE(store->flush(long_enough));
    CHECK(load(*store, "t").size() == 1000);
}

TEST_CASE("a change is committed after others came to nothing while the writer slept")
{
    const fakes::TemporaryFolder folder;
    const auto store = open(folder / "state.sqlite");
    for (int i = 0; i < 10; ++i) {
        store->save("t", "short-lived", "v");
        store->erase("t", "short-lived");
        std::this_thread::sleep_for(Milliseconds{25}); // nothing happens: no event to wait for
        store->save("t", std::to_string(i), "v");
        REQUIRE(store->flush(Milliseconds{5000}));
    }
    CHECK(load(*store, "t").size() == 10);
}

TEST_CASE("who waits for a commit is told although what waited came to nothing")
{
    const fakes::TemporaryFolder folder;
    const auto store = open(folder / "state.sqlite");
    std::promise<void> told;
    store->save("t", "short-lived", "v");
    store->when_durable([&] { told.set_value(); });
    store->erase("t", "short-lived");
    CHECK(told.get_future().wait_for(long_enough) == std::future_status::ready);
}
