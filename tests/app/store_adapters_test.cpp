// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/store_adapters.hpp"

#include <catch2/catch.hpp>

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

} // namespace

TEST_CASE("the dispatcher's state comes back from the store")
{
    const fakes::TemporaryFolder folder;
    {
        const auto store = open(folder / "s.sqlite");
        app::StateToStore state(*store);
        state.save("sessions", "a", "1");
        state.save("sessions", "b", "2");
        state.erase("sessions", "a");
    }
    const auto store = open(folder / "s.sqlite");
    std::vector<std::string> rows;
    REQUIRE(app::StateToStore(*store).load_all(
        "sessions", [&](std::string_view key, std::string_view value) {
            rows.push_back(std::string(key) + "=" + std::string(value));
        }));
    CHECK(rows == std::vector<std::string>{"b=2"});
}

TEST_CASE("whoever hands over a record hears on the core thread when it is on disk")
{
    const fakes::TemporaryFolder folder;
    asio::io_context io;
    const auto store = open(folder / "s.sqlite");
    accounting::Accounting accounting(*store);
    app::RecordsToAccounting records(io, accounting, *store);
    protocol::SessionReport report;
    report.call_id = "call";
    report.start_time = 1.0;
    int told = 0;
    records.put(protocol::SessionReport(report), [&] { ++told; });
    records.put(protocol::SessionReport(report), [&] { ++told; });
    records.put(protocol::SessionReport(report), {});
    CHECK(told == 0);
    while (told < 2)
        REQUIRE(io.run_one_for(Seconds{10}) + (io.stopped() ? (io.restart(), 1) : 0) > 0);
    CHECK(told == 2);
}
