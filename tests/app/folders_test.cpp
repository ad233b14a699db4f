// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/folders.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "fakes/temporary_folder.hpp"

using namespace mediaproxy;
using app::RoleLock;
using config::Role;

TEST_CASE("a folder is made with those above it, and a file in its place is an error")
{
    const fakes::TemporaryFolder folder;
    REQUIRE(app::make_folder(folder / "a/b", 0750));
    REQUIRE(app::make_folder(folder / "a/b", 0750));
    struct stat status {
    };
    REQUIRE(::stat((folder / "a/b").c_str(), &status) == 0);
    CHECK((status.st_mode & 0027) == 0);
    CHECK_FALSE(app::make_folder("/proc/none/such", 0755));
}

TEST_CASE("a second daemon of a role is kept out of a runtime folder")
{
    const fakes::TemporaryFolder folder;
    const std::string path = folder / "";
    struct Case {
        Role first, second;
        bool allowed;
    };
    const Case cases[] = {
        {Role::dispatcher, Role::dispatcher, false},
        {Role::relay, Role::relay, false},
        {Role::both, Role::dispatcher, false},
        {Role::both, Role::relay, false},
        {Role::relay, Role::both, false},
        {Role::dispatcher, Role::relay, true},
        {Role::relay, Role::dispatcher, true},
    };
    for (const Case& c : cases) {
        const auto first = RoleLock::take(path, c.first);
        REQUIRE(first);
        const auto second = RoleLock::take(path, c.second);
        CHECK(second.has_value() == c.allowed);
        if (!second)
            CHECK_THAT(
                second.error().message, // its sockets may be anywhere
                Catch::EndsWith("(process " + std::to_string(::getpid()) + ") runs in " + path));
    }
    CHECK(RoleLock::take(path, Role::both));
}

TEST_CASE("a runtime folder that is not there or not ours is an error that names it")
{
    const auto lock = RoleLock::take("/nonexistent", Role::relay);
    REQUIRE(!lock);
    CHECK(lock.error().message == "/nonexistent/relay.lock: No such file or directory");
}
