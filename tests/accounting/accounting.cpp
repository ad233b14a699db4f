// SPDX-License-Identifier: GPL-2.0-or-later
#include <asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <chrono>
#include <tuple>

#include "accounting/accounting.hpp"
#include "fakes/accounting_plugin.hpp"
#include "fakes/captured_log.hpp"
#include "fakes/session_report.hpp"
#include "fakes/temporary_folder.hpp"
#include "store/dead_letters.hpp"

using namespace mediaproxy;
using accounting::Accounting;
using fakes::answered_report;

namespace
{

constexpr Milliseconds long_enough{20000};
constexpr accounting::RetryTiming at_once{Milliseconds{1}, Milliseconds{5}, Milliseconds{0},
                                          Milliseconds{50}};

struct Fixture {
    Fixture() { open(); }
    void open()
    {
        auto opened = store::Store::open(folder / "state.sqlite");
        REQUIRE(opened);
        store = *std::move(opened);
    }
    std::size_t left(const std::string& instance = "accounting.fake")
    {
        REQUIRE(store->flush(long_enough));
        return store->waiting(instance, 0, 10000)->size();
    }

    fakes::CapturedLog log;
    fakes::TemporaryFolder folder;
    asio::io_context io;
    fakes::AccountingPlugin plugin;
    std::unique_ptr<store::Store> store;
};

std::vector<std::string> ids(int first, int last)
{
    std::vector<std::string> made;
    for (int i = first; i <= last; ++i)
        made.push_back("r" + std::to_string(i));
    return made;
}

void take(Accounting& accounting, int first, int last)
{
    for (const std::string& id : ids(first, last))
        accounting.take(answered_report(id));
}

} // namespace

TEST_CASE("every record goes to every back end, in order, and leaves the spool")
{
    Fixture f;
    fakes::AccountingPlugin second;
    Accounting accounting(*f.store, at_once);
    accounting.add(f.plugin.make(f.io));
    accounting.add(second.make(f.io, "accounting.second"));
    take(accounting, 1, 1200);
    accounting.stop(long_enough);
    CHECK(f.plugin.written() == ids(1, 1200));
    CHECK(second.written() == ids(1, 1200));
    CHECK(f.plugin.largest_batch() <= 500);
    CHECK(f.left() == 0);
    CHECK(f.left("accounting.second") == 0);
}

TEST_CASE("records are written while the daemon runs, not only at its end")
{
    Fixture f;
    Accounting accounting(*f.store, at_once);
    accounting.add(f.plugin.make(f.io));
    for (int i = 1; i <= 3; ++i) {
        take(accounting, i, i);
        REQUIRE(f.plugin.wait_until(
            [&](auto& plugin) { return plugin.written_count() == static_cast<std::size_t>(i); }));
    }
}

TEST_CASE("a session that was never answered has no record")
{
    Fixture f;
    Accounting accounting(*f.store, at_once);
    accounting.add(f.plugin.make(f.io));
    protocol::SessionReport report = answered_report("r1");
    report.start_time.reset();
    accounting.take(report);
    accounting.stop(long_enough);
    CHECK(f.plugin.written().empty());
}

TEST_CASE("a report without a record id is given one, each another")
{
    Fixture f;
    Accounting accounting(*f.store, at_once);
    accounting.add(f.plugin.make(f.io));
    accounting.take(answered_report(""));
    accounting.take(answered_report(""));
    accounting.stop(long_enough);
    const auto written = f.plugin.written();
    REQUIRE(written.size() == 2);
    CHECK(written[0] != written[1]);
    CHECK(written[0].starts_with(f.store->record_id_prefix()));
}

TEST_CASE("a back end that cannot open is opened again and gets what waited")
{
    Fixture f;
    f.plugin.set_open(MP_E_AGAIN);
    Accounting accounting(*f.store, at_once);
    accounting.add(f.plugin.make(f.io));
    take(accounting, 1, 250);
    REQUIRE(f.plugin.wait_until([](auto& plugin) { return plugin.open_count() >= 4; }));
    CHECK(f.plugin.written().empty());
    CHECK(f.left() == 250);
    CHECK(f.log.count("accounting.fake: not today; records wait in the spool") == 1);
    f.plugin.set_open(MP_OK);
    REQUIRE(f.plugin.wait_until([](auto& plugin) { return plugin.written_count() == 250; }));
    accounting.stop(long_enough);
    CHECK(f.plugin.written() == ids(1, 250));
    CHECK(f.log.count("accounting.fake: takes records again") == 1);
}

TEST_CASE("a record that is refused for now is tried again after a new open, nothing twice")
{
    Fixture f;
    int refusals = 3;
    f.plugin.set_judge(
        [&](const std::string& id) { return id == "r150" && refusals-- > 0 ? MP_E_AGAIN : MP_OK; });
    Accounting accounting(*f.store, at_once);
    accounting.add(f.plugin.make(f.io));
    take(accounting, 1, 300);
    REQUIRE(f.plugin.wait_until([](auto& plugin) { return plugin.written_count() == 300; }));
    accounting.stop(long_enough);
    CHECK(f.plugin.written() == ids(1, 300));
    CHECK(f.plugin.opens() == 4);
    CHECK(f.left() == 0);
}

TEST_CASE("a record that is refused for good is parked by name and the others go on")
{
    Fixture f;
    f.plugin.set_judge(
        [](const std::string& id) { return id == "r2" || id == "r3" ? MP_E_INVALID : MP_OK; });
    {
        Accounting accounting(*f.store, at_once);
        accounting.add(f.plugin.make(f.io));
        take(accounting, 1, 4);
        accounting.stop(long_enough);
    }
    CHECK(f.plugin.written() == std::vector<std::string>{"r1", "r4"});
    CHECK(f.left() == 0);
    CHECK(f.log.count("accounting.fake: record r2 is refused and stays in the spool: no to r2") ==
          1);
    const auto counts = f.store->count();
    REQUIRE(counts);
    REQUIRE(counts->size() == 1);
    CHECK(counts->at(0).parked == 2);

    const Accounting again(*f.store, at_once);
    CHECK(f.log.count("accounting.fake: 2 refused records are kept in the spool") == 1);
}

TEST_CASE("a spooled record that cannot be read is parked in its turn")
{
    Fixture f;
    REQUIRE(
        f.store->put_record({"accounting.fake"}, "r1", protocol::to_json(answered_report("r1"))));
    REQUIRE(f.store->put_record({"accounting.fake"}, "r2", "{\"call_id\": "));
    REQUIRE(
        f.store->put_record({"accounting.fake"}, "r3", protocol::to_json(answered_report("r3"))));
    REQUIRE(f.store->flush(long_enough));
    Accounting accounting(*f.store, at_once);
    accounting.add(f.plugin.make(f.io));
    accounting.stop(long_enough);
    CHECK(f.plugin.written() == std::vector<std::string>{"r1", "r3"});
    CHECK(f.log.count("record r2 is refused and stays in the spool") == 1);
}

TEST_CASE("a stop does not wait for a back end that blocks, and its records survive a restart")
{
    Fixture f;
    f.plugin.block();
    const auto begin = std::chrono::steady_clock::now();
    {
        Accounting accounting(*f.store, at_once);
        accounting.add(f.plugin.make(f.io));
        take(accounting, 1, 150);
        REQUIRE(f.plugin.wait_until([](auto& plugin) { return plugin.is_blocked(); }));
        accounting.stop(Milliseconds{20});
    }
    CHECK(std::chrono::steady_clock::now() - begin < Seconds{15});
    f.store.reset();

    f.open();
    fakes::AccountingPlugin healthy;
    Accounting accounting(*f.store, at_once);
    CHECK(f.log.count("accounting.fake: 150 records wait in the spool") == 1);
    accounting.add(healthy.make(f.io));
    accounting.stop(long_enough);
    CHECK(healthy.written() == ids(1, 150));
}

TEST_CASE("of a back end that does not return when it is cancelled it is said which, and given up")
{
    Fixture f;
    fakes::AccountingPlugin hung, blocked;
    SECTION("in its write()")
    {
        hung.hang();
    }
    SECTION("in the call that cancels it")
    {
        hung.hang_in_cancel();
    }
    blocked.block();
    int given_up = 0;
    Accounting accounting(*f.store, at_once);
    accounting.add(hung.make(f.io, "accounting.hung"));
    accounting.add(f.plugin.make(f.io));
    accounting.add(blocked.make(f.io, "accounting.blocked"));
    take(accounting, 1, 3);
    REQUIRE(hung.wait_until([](auto& plugin) { return plugin.is_blocked(); }));
    REQUIRE(blocked.wait_until([](auto& plugin) { return plugin.is_blocked(); }));
    REQUIRE(f.plugin.wait_until([](auto& plugin) { return plugin.written_count() == 3; }));
    accounting.stop(Milliseconds{1}, {Milliseconds{500}, [&] {
                                          ++given_up;
                                          CHECK(f.left("accounting.hung") == 3);
                                          hung.let_go(); // the daemon would be gone now
                                      }});
    CHECK(given_up == 1);
    CHECK(f.log.count("accounting.hung: still does not return 500 ms after it was cancelled") == 1);
    CHECK(f.log.count("still does not return") == 1);
}

TEST_CASE("a back end that returns is not given up")
{
    Fixture f;
    f.plugin.block();
    Accounting accounting(*f.store, at_once);
    accounting.add(f.plugin.make(f.io));
    take(accounting, 1, 3);
    REQUIRE(f.plugin.wait_until([](auto& plugin) { return plugin.is_blocked(); }));
    bool given_up = false;
    accounting.stop(Milliseconds{1}, {long_enough, [&] { given_up = true; }});
    CHECK_FALSE(given_up);
    CHECK(f.log.count("does not return") == 0);
}

TEST_CASE("a back end that cannot be loaded is logged and its records are kept for it")
{
    Fixture f;
    {
        Accounting accounting(*f.store, at_once);
        plugin::PluginSource source;
        source.dir = f.folder.path();
        source.name = "fake";
        accounting.add(f.io, source);
        take(accounting, 1, 3);
        accounting.stop(long_enough);
    }
    CHECK(f.log.count("accounting_fake.so: no such file; the records for accounting.fake wait") ==
          1);
    CHECK(f.left() == 3);
    Accounting accounting(*f.store, at_once);
    accounting.add(f.plugin.make(f.io));
    accounting.stop(long_enough);
    CHECK(f.plugin.written() == ids(1, 3));
}

TEST_CASE("without a back end nothing is spooled")
{
    Fixture f;
    Accounting accounting(*f.store, at_once);
    take(accounting, 1, 3);
    REQUIRE(f.store->flush(long_enough));
    CHECK(f.store->count()->empty());
}

TEST_CASE("pauses grow while a back end opens but takes no record, and say so once")
{
    Fixture f;
    f.plugin.set_judge([](const std::string&) { return MP_E_AGAIN; });
    constexpr accounting::RetryTiming growing{Milliseconds{10}, Milliseconds{10000},
                                              Milliseconds{0}, Milliseconds{50}};
    const auto begin = std::chrono::steady_clock::now();
    Accounting accounting(*f.store, growing);
    accounting.add(f.plugin.make(f.io));
    take(accounting, 1, 1);
    REQUIRE(f.plugin.wait_until([](auto& plugin) { return plugin.open_count() >= 6; }));
    // 10 + 20 + 40 + 80 + 160
    CHECK(std::chrono::steady_clock::now() - begin >= Milliseconds{310});
    CHECK(f.log.count("no to r1; records wait in the spool") == 1);
    CHECK(f.log.count("takes records again") == 0);
    CHECK(accounting.figures().back_ends.at(0).state == accounting::BackEndFigures::State::failing);
    CHECK(accounting.figures().back_ends.at(0).last_error == "no to r1");
    f.plugin.set_judge({});
    REQUIRE(f.plugin.wait_until([](auto& plugin) { return plugin.written_count() == 1; }));
    accounting.stop(long_enough);
    CHECK(f.log.count("takes records again") == 1);
}

TEST_CASE("figures tell what waits, for how long, what was refused and why")
{
    Fixture f;
    using State = accounting::BackEndFigures::State;
    REQUIRE(f.store->put_record({"accounting.gone"}, "old", "{}"));
    f.plugin.set_judge([](const std::string& id) { return id == "r2" ? MP_E_INVALID : MP_OK; });
    fakes::AccountingPlugin away;
    away.set_open(MP_E_AGAIN);
    Accounting accounting(*f.store, at_once);
    accounting.add(f.plugin.make(f.io));
    accounting.add(away.make(f.io, "accounting.away"));
    plugin::PluginSource missing;
    missing.dir = f.folder.path();
    missing.name = "missing";
    accounting.add(f.io, missing);
    take(accounting, 1, 3);
    const auto end = std::chrono::steady_clock::now() + long_enough;
    accounting::Figures figures;
    do
        figures = accounting.figures();
    while ((figures.in_memory > 0 || figures.back_ends.size() < 4 ||
            figures.back_ends[0].parked == 0 || figures.back_ends[0].waiting > 0 ||
            figures.back_ends[1].waiting < 3) &&
           std::chrono::steady_clock::now() < end);
    REQUIRE(figures.back_ends.size() == 4);
    const auto& [fine, failing, absent, gone] = std::tie(
        figures.back_ends[0], figures.back_ends[1], figures.back_ends[2], figures.back_ends[3]);
    CHECK(fine.name == "accounting.fake");
    CHECK(fine.state == State::active);
    CHECK(fine.waiting == 0);
    CHECK_FALSE(fine.oldest_age);
    CHECK(fine.parked == 1);
    CHECK(fine.last_error == "no to r2");
    CHECK(failing.state == State::failing);
    CHECK(failing.waiting == 3);
    CHECK(failing.oldest_age);
    CHECK(failing.last_error == "not today");
    CHECK(absent.state == State::not_loaded);
    CHECK(absent.waiting == 3);
    CHECK(absent.last_error.find("no such file") != std::string::npos);
    CHECK(gone.name == "accounting.gone");
    CHECK(gone.state == State::not_configured);
    CHECK(gone.waiting == 1);
}

TEST_CASE("a record that another process puts back into the queue is found while nothing happens")
{
    Fixture f;
    f.plugin.set_judge([](const std::string& id) { return id == "r1" ? MP_E_INVALID : MP_OK; });
    Accounting accounting(*f.store, at_once);
    accounting.add(f.plugin.make(f.io));
    take(accounting, 1, 2);
    REQUIRE(f.plugin.wait_until([](auto& plugin) { return plugin.written_count() == 1; }));
    REQUIRE(f.store->flush(long_enough));
    f.plugin.set_judge({});
    auto letters =
        store::DeadLetters::open(f.folder / "state.sqlite", store::Connection::Access::write);
    REQUIRE(letters);
    CHECK(*letters->retry({}) == 1);
    REQUIRE(f.plugin.wait_until([](auto& plugin) { return plugin.written_count() == 2; }));
    accounting.stop(long_enough);
    CHECK(f.plugin.written() == std::vector<std::string>{"r2", "r1"});
    CHECK(f.left() == 0);
}

TEST_CASE("records that come one after the other are written together")
{
    Fixture f;
    constexpr accounting::RetryTiming patient{Milliseconds{1}, Milliseconds{5}, Milliseconds{300},
                                              Milliseconds{50}};
    Accounting accounting(*f.store, patient);
    accounting.add(f.plugin.make(f.io));
    REQUIRE(f.plugin.wait_until([](auto& plugin) { return plugin.open_count() == 1; }));
    for (int i = 1; i <= 20; ++i) {
        take(accounting, i, i);
        REQUIRE(f.store->flush(long_enough));
    }
    REQUIRE(f.plugin.wait_until([](auto& plugin) { return plugin.written_count() == 20; }));
    CHECK(f.plugin.largest_batch() > 5);
}
