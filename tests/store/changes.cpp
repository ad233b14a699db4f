// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "store/changes.hpp"

using namespace mediaproxy::store;

TEST_CASE("of the writes to a key that wait the last one counts")
{
    Changes changes;
    const KeysOnDisk nothing;
    changes.save("sessions", "a", "1");
    changes.save("sessions", "a", "2");
    changes.save("relays", "a", "3");
    REQUIRE(changes.state.size() == 2);
    CHECK(changes.state.at(Changes::join("sessions", "a")) == "2");
    CHECK(changes.state.at(Changes::join("relays", "a")) == "3");
    changes.erase("relays", "a", nothing);
    CHECK(changes.state.size() == 1);
}

TEST_CASE("what is saved and erased between two commits leaves no trace")
{
    Changes changes;
    const KeysOnDisk nothing;
    changes.save("sessions", "a", "1");
    changes.erase("sessions", "a", nothing);
    changes.erase("sessions", "never there", nothing);
    CHECK(changes.empty());
}

TEST_CASE("a key that is on disk is erased there, whatever waits")
{
    KeysOnDisk on_disk;
    Changes first;
    first.save("sessions", "a", "1");
    first.apply_to(on_disk);

    Changes second;
    second.save("sessions", "a", "2");
    second.erase("sessions", "a", on_disk);
    REQUIRE(second.state.size() == 1);
    CHECK_FALSE(second.state.begin()->second);
    second.apply_to(on_disk);

    Changes third;
    third.erase("sessions", "a", on_disk);
    CHECK(third.empty());
}

TEST_CASE("a key may hold any byte")
{
    const std::string key("a\0b\xff", 4);
    const std::string joined = Changes::join("t", key);
    CHECK(Changes::table_of(joined) == "t");
    CHECK(Changes::key_of(joined) == key);
}
