// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/accounting_command.hpp"

#include <catch2/catch.hpp>

#include "fakes/session_report.hpp"
#include "fakes/temporary_folder.hpp"
#include "protocol/session_report.hpp"
#include "store/store.hpp"

using namespace mediaproxy;
using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
using Verb = app::CommandLine::Accounting::Verb;

namespace
{

constexpr Milliseconds long_enough{20000};

/// A spool in which accounting.a has refused r2 and r3, and accounting.b, which is not configured,
/// has one record waiting.
struct Fixture {
    Fixture()
    {
        config.state_dir = folder.path();
        config.dispatcher.accounting = {"a"};
        open();
        for (const char* id : {"r1", "r2"})
            REQUIRE(store->put_record({"accounting.a"}, id,
                                      protocol::to_json(fakes::answered_report(id))));
        REQUIRE(store->put_record({"accounting.a"}, "r3", "{\"call_id\": "));
        REQUIRE(store->put_record({"accounting.b"}, "r1",
                                  protocol::to_json(fakes::answered_report("r1"))));
        REQUIRE(store->flush(long_enough));
        const auto all = store->waiting("accounting.a", 0, 10);
        store->park(all->at(1).sequence, "too long\nby far");
        store->park(all->at(2).sequence, "not JSON");
        REQUIRE(store->flush(long_enough));
    }
    void open()
    {
        auto opened = store::Store::open(app::dispatcher_store(config));
        REQUIRE(opened);
        store = *std::move(opened);
    }
    std::vector<std::string> run(Verb verb, std::string back_end = "", std::string record_id = "")
    {
        std::vector<std::string> lines;
        const auto done =
            app::run_accounting({verb, std::move(back_end), std::move(record_id)}, config,
                                [&](std::string_view line) { lines.emplace_back(line); });
        if (!done)
            lines.push_back("failed: " + done.error().message);
        return lines;
    }
    std::vector<std::string> waiting()
    {
        std::vector<std::string> ids;
        const auto records = store->waiting("accounting.a", 0, 10);
        for (const auto& record : *records)
            ids.push_back(record.record_id);
        return ids;
    }

    fakes::TemporaryFolder folder;
    config::Config config;
    std::unique_ptr<store::Store> store;
};

} // namespace

TEST_CASE("refused records, and those of back ends that are gone, are listed with their reason")
{
    Fixture f;
    const bool is_running = GENERATE(true, false);
    if (!is_running)
        f.store.reset();
    const auto lines = f.run(Verb::list);
    REQUIRE(lines.size() == 5);
    CHECK_THAT(lines[0],
               StartsWith("accounting.a: 1 wait (the oldest for ") && Contains(" s), 2 refused"));
    CHECK_THAT(lines[1], StartsWith("accounting.b: 1 wait") && Contains("not configured"));
    CHECK_THAT(lines[2],
               StartsWith("accounting.a  r2  20") && Contains("too long") && !Contains("\n"));
    CHECK_THAT(lines[3], StartsWith("accounting.a  r3") && Contains("(not readable)  not JSON"));
    CHECK_THAT(lines[4], StartsWith("accounting.b  r1") && Contains("is not configured"));
    CHECK(f.run(Verb::list, "b").size() == 2);
    CHECK(f.run(Verb::list, "accounting.a", "r3").size() == 2);
    CHECK(f.run(Verb::list, "c") ==
          std::vector<std::string>{"failed: accounting.c: no such back end, and no records of "
                                   "one"});
}

TEST_CASE("refused records are exported as lines of JSON")
{
    Fixture f;
    const auto lines = f.run(Verb::save);
    REQUIRE(lines.size() == 3);
    CHECK_THAT(lines[0], StartsWith("{\"back_end\": \"accounting.a\", \"record_id\": \"r2\", "
                                    "\"made_at\": \"20") &&
                             Contains("\"refused\": \"too long\\u000aby far\", \"record\": {\"") &&
                             Contains(protocol::to_json(fakes::answered_report("r2"))));
    CHECK_THAT(lines[1], Contains("\"record\": \"{\\\"call_id\\\": \"}"));
    CHECK_THAT(lines[2], Contains("\"accounting.b\"") && Contains("\"refused\": null"));
}

TEST_CASE("a record that is tried again is at the end of its queue, behind all that was seen")
{
    Fixture f;
    const bool is_running = GENERATE(true, false);
    const auto last = f.store->waiting("accounting.a", 0, 10)->back().sequence;
    if (!is_running)
        f.store.reset();
    CHECK(f.run(Verb::retry, "a", "r2") ==
          std::vector<std::string>{"1 records will be tried again"});
    CHECK(f.run(Verb::retry, "a", "r2") ==
          std::vector<std::string>{"failed: r2: accounting.a has refused no record of that name"});
    CHECK(f.run(Verb::retry) == std::vector<std::string>{"1 records will be tried again"});
    CHECK(f.run(Verb::retry) == std::vector<std::string>{"0 records will be tried again"});
    if (!is_running)
        f.open();
    CHECK(f.waiting() == std::vector<std::string>{"r1", "r2", "r3"});
    CHECK(f.store->waiting("accounting.a", last, 10)->size() == 2);
}

TEST_CASE("where there is no spool of this version the sentence says so")
{
    Fixture f;
    f.store.reset();
    f.config.store.spool = store::Options::Spool::memory;
    CHECK_THAT(f.run(Verb::list).at(0), Contains("spool = \"memory\""));
    f.config.store.spool = store::Options::Spool::disk;
    f.config.state_dir = f.folder / "none";
    CHECK_THAT(f.run(Verb::list).at(0), Contains("none/mediaproxyd.sqlite: no such file"));
}
