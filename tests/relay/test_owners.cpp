// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "base/log.hpp"
#include "relay/owners.hpp"

using namespace mediaproxy;
using namespace mediaproxy::relay;

TEST_CASE("an owner keeps its number")
{
    Owners owners;
    const auto one = owners.id_of("one"), two = owners.id_of("two");
    CHECK(one != 0);
    CHECK(one != two);
    CHECK(owners.id_of("one") == one);
    CHECK(owners.name(two) == "two");
}

TEST_CASE("a dispatcher that says its name takes over what came under its address")
{
    Owners owners;
    const auto address = owners.id_of("192.0.2.1:25060"), name = owners.id_of("disp");
    owners.put(address, "r1", "{1}");
    owners.bequeath(address, name);
    owners.put(address, "r2", "{2}");
    CHECK(owners.resolve(address) == name);
    CHECK(owners.name(address) == "disp");
    REQUIRE(owners.letters(name).size() == 2);
    CHECK(owners.letters(name)[0].json == "{1}");
    CHECK(owners.letters(name)[1].json == "{2}");
    INFO("no circles");
    owners.bequeath(name, address);
    CHECK(owners.resolve(name) == name);
    INFO("somebody else is at the address now");
    owners.revoke(address);
    CHECK(owners.letters(address).empty());
}

TEST_CASE("a letter stays until it is acknowledged")
{
    Owners owners;
    const auto id = owners.id_of("disp");
    owners.put(id, "r1", "{1}");
    owners.put(id, "r2", "{2}");
    CHECK_FALSE(owners.acknowledge(id, "r3"));
    CHECK(owners.acknowledge(id, "r2"));
    CHECK(owners.letter_count() == 1);
    CHECK(owners.letters(id).front().record_id == "r1");
}

TEST_CASE("what waits is bounded, and what does not fit is in the log")
{
    std::vector<std::string> lines;
    log::set_sink([&](log::Level, std::string_view line) { lines.emplace_back(line); });
    Owners owners(1000);
    const auto id = owners.id_of("disp");
    for (int i = 0; i < 10; ++i)
        owners.put(id, std::to_string(i), std::string(100, static_cast<char>('a' + i)));
    CHECK(owners.letter_count() == 4);
    CHECK(owners.letters(id).back().record_id == "9");
    REQUIRE(lines.size() == 6);
    CHECK(lines[0].find(std::string(100, 'a')) != std::string::npos);
    lines.clear();
    owners.log_undelivered();
    CHECK(lines.size() == 4);
    log::set_sink([](log::Level, std::string_view) {});
}
