// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/store_adapters.hpp"

#include <asio/post.hpp>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <sqlite3.h>
#include <thread>

#include "fakes/accounting_plugin.hpp"
#include "fakes/captured_log.hpp"
#include "fakes/file_size_limit.hpp"
#include "fakes/session_report.hpp"
#include "fakes/temporary_folder.hpp"

using namespace mediaproxy;

namespace
{

std::unique_ptr<store::Store> open(const std::string& path)
{
    auto opened = store::Store::open(path);
    if (!opened)
        FAIL(opened.error().message);
    return std::move(*opened);
}

template <class Done>
bool run_until(asio::io_context& io, Done done)
{
    const auto end = std::chrono::steady_clock::now() + Seconds{20};
    while (!done() && std::chrono::steady_clock::now() < end) {
        io.restart();
        io.run_one_for(Milliseconds{20});
    }
    return done();
}

} // namespace

TEST_CASE("the dispatcher's state comes back from the store")
{
    const fakes::TemporaryFolder folder;
    {
        const auto store = open(folder / "s.sqlite");
        asio::io_context io;
        app::Turn turn(io, *store);
        app::StateToStore state(*store, turn);
        state.save("sessions", "a", "1");
        state.save("sessions", "b", "2");
        state.erase("sessions", "a");
    }
    const auto store = open(folder / "s.sqlite");
    std::vector<std::string> rows;
    asio::io_context io;
    app::Turn turn(io, *store);
    REQUIRE(app::StateToStore(*store, turn)
                .load_all("sessions", [&](std::string_view key, std::string_view value) {
                    rows.push_back(std::string(key) + "=" + std::string(value));
                }));
    CHECK(rows == std::vector<std::string>{"b=2"});
}

TEST_CASE("whoever hands over a record hears on the core thread when it is on disk")
{
    const fakes::TemporaryFolder folder;
    asio::io_context io;
    fakes::AccountingPlugin plugin;
    const auto store = open(folder / "s.sqlite");
    accounting::Accounting accounting(*store);
    app::Turn turn(io, *store);
    app::RecordsToAccounting records(io, accounting, *store, turn);
    int told = 0, at_once = 0;
    records.put(fakes::answered_report("r0"), [&] { ++at_once; }); // there is nobody to keep it for
    records.when_durable([&] { ++at_once; });
    CHECK(at_once == 2);
    accounting.add(plugin.make(io));
    records.put(fakes::answered_report("r1"), [&] { ++told; });
    records.put(fakes::answered_report("r2"), [&] { ++told; });
    records.put(fakes::answered_report("r3"), {});
    CHECK(told == 0);
    REQUIRE(run_until(io, [&] { return told == 2; }));
}

TEST_CASE("all that one turn of the loop changes is committed together")
{
    const fakes::TemporaryFolder folder;
    asio::io_context io;
    fakes::AccountingPlugin plugin;
    const auto store = open(folder / "s.sqlite");
    accounting::Accounting accounting(*store);
    accounting.add(plugin.make(io));
    app::Turn turn(io, *store);
    app::RecordsToAccounting records(io, accounting, *store, turn);
    app::StateToStore state(*store, turn);
    std::atomic<int> apart = 0;
    store->listen("accounting.fake", [&] {
        (void)store->load_all("sessions", [&](std::string_view, std::string_view) { ++apart; });
    });
    int told = 0;
    for (int call = 0; call < 30; ++call) {
        asio::post(io, [&] { state.save("sessions", "call", "v"); });
        asio::post(io, [&] {
            records.put(fakes::answered_report(std::to_string(call)), [&] { ++told; });
            std::this_thread::sleep_for(Milliseconds{1}); // the writer could come in between
            state.erase("sessions", "call");
        });
        REQUIRE(run_until(io, [&] { return told == call + 1; }));
    }
    CHECK(apart == 0);
    accounting.stop(Milliseconds{20000});
}

TEST_CASE("a spool that does not take records in time raises an alarm, and clears it")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    asio::io_context io;
    fakes::AccountingPlugin plugin;
    const auto store = open(folder / "s.sqlite");
    accounting::Accounting accounting(*store);
    accounting.add(plugin.make(io));
    app::Turn turn(io, *store);
    app::RecordsToAccounting records(io, accounting, *store, turn);
    int told = 0;
    SECTION("because it is slow")
    {
        // Somebody holds the file.
        sqlite3* other = nullptr;
        REQUIRE(sqlite3_open((folder / "s.sqlite").c_str(), &other) == SQLITE_OK);
        REQUIRE(sqlite3_exec(other, "BEGIN IMMEDIATE", nullptr, nullptr, nullptr) == SQLITE_OK);
        records.put(fakes::answered_report("r1"), [&] { ++told; });
        REQUIRE(run_until(io, [&] { return records.is_late(); }));
        CHECK(records.figures().alarm == "the disk is too slow");
        CHECK(log.count("has not taken a record within 200 ms") == 1);
        CHECK(told == 1); // of what seemed to be a good disk
        records.put(fakes::answered_report("r2"), [&] { ++told; });
        io.poll();
        CHECK(told == 1);
        sqlite3_exec(other, "ROLLBACK", nullptr, nullptr, nullptr);
        sqlite3_close(other);
    }
    SECTION("because it fails")
    {
        const fakes::FileSizeLimit full(64 * 1024);
        for (int i = 0; i < 20; ++i) {
            auto report = fakes::answered_report("r" + std::to_string(i));
            report.call_id = std::string(10000, 'c');
            records.put(std::move(report), [&] { ++told; });
        }
        REQUIRE(run_until(io, [&] { return records.is_late(); }));
        CHECK(records.figures().in_memory > 0);
        CHECK(records.figures().back_ends.at(0).waiting > 0);
        CHECK(records.figures().alarm.find("cannot be written") != std::string::npos);
        CHECK(log.count("changes wait in memory") == 1);
        CHECK(log.count("has not taken a record") == 0); // said already
        CHECK(told == 20);                               // before the disk was asked
        records.put(fakes::answered_report("one more"), [&] { ++told; });
        io.poll();
        CHECK(told == 20);
    }
    const int before = told;
    REQUIRE(run_until(io, [&] { return told > before && !records.is_late(); }));
    CHECK(records.figures().alarm.empty());
    CHECK(log.count("in time again") + log.count("can be written again") == 1);
    accounting.stop(Milliseconds{20000});
}

TEST_CASE("a record for which there is no room is never called durable")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    asio::io_context io;
    fakes::AccountingPlugin plugin;
    auto opened = store::Store::open(folder / "s.sqlite", {.record_memory = 100});
    REQUIRE(opened);
    accounting::Accounting accounting(**opened);
    accounting.add(plugin.make(io));
    app::Turn turn(io, **opened);
    app::RecordsToAccounting records(io, accounting, **opened, turn);
    bool refused = false, after = false;
    records.put(fakes::answered_report("r1"), [&] { refused = true; });
    records.when_durable([&] { after = true; });
    REQUIRE(run_until(io, [&] { return after; }));
    CHECK_FALSE(refused);
    CHECK(log.count("lost accounting record") == 1);
}
