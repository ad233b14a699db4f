// SPDX-License-Identifier: GPL-2.0-or-later
// A salvage that is killed.
#include <csignal>
#include <filesystem>
#include <functional>
#include <set>
#include <sys/wait.h>
#include <unistd.h>

#include "fakes/captured_log.hpp"
#include "fakes/temporary_folder.hpp"
#include "opened.hpp"
#include "store/salvage.hpp"
#include "store/sqlite.hpp"
#include "store/swap.hpp"

using namespace mediaproxy;
using namespace mediaproxy::store;

namespace
{

namespace fs = std::filesystem;

constexpr int records = 120, in_wal = 20, entries = 30;
constexpr std::size_t page = 4096;

void put(Store& store, int first, int last)
{
    for (int i = first; i <= last; ++i)
        REQUIRE(store.put_record({"x"}, "r" + std::to_string(i), std::string(300, 'b')));
    REQUIRE(store.flush(long_enough));
}

/// What a daemon left that was killed: the last records are in the WAL only, and of an index that
/// nothing is read by, a page is damaged.
class Damaged
{
public:
    Damaged()
    {
        const fakes::TemporaryFolder made;
        const std::string path = made / "s.sqlite";
        {
            const auto store = ::open(path);
            put(*store, 1, records - in_wal);
            for (int i = 0; i < entries; ++i)
                store->save("sessions", std::to_string(i), "v");
        }
        std::uint64_t root = 0;
        {
            auto connection = Connection::open(path);
            REQUIRE(connection);
            const auto found = connection->number("SELECT rootpage FROM sqlite_master "
                                                  "WHERE name = 'spool_parked'");
            REQUIRE(found);
            root = *found;
        }
        const auto store = ::open(path);
        put(*store, records - in_wal + 1, records);
        file = made.read("s.sqlite");
        wal = made.read("s.sqlite-wal");
        file.replace((root - 1) * page, page, page, '\xa5');
    }
    std::string put_into(const fakes::TemporaryFolder& folder) const
    {
        folder.write("s.sqlite-wal", wal);
        return folder.write("s.sqlite", file);
    }

    std::string file, wal;
};

/// Runs `act` in a process that is killed between its steps, behind `steps` of them; false when it
/// has fewer.
bool is_killed(unsigned steps, const std::function<bool(const BetweenSteps&)>& act)
{
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const bool done = act([&] {
            if (steps-- == 0)
                ::kill(::getpid(), SIGKILL);
        });
        ::_exit(done ? 0 : 1);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK((WIFSIGNALED(status) || WEXITSTATUS(status) == 0));
    return WIFSIGNALED(status);
}

bool is_killed_salvaging(const std::string& path, unsigned steps)
{
    return is_killed(steps, [&](const BetweenSteps& between) {
        return set_aside_and_salvage(path, 0, between).has_value();
    });
}

std::set<std::string> names(const fakes::TemporaryFolder& folder)
{
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(folder.path()))
        found.insert(entry.path().filename());
    return found;
}

std::vector<std::string> set_aside(const fakes::TemporaryFolder& folder)
{
    std::vector<std::string> found;
    for (const std::string& name : names(folder)) {
        if (name.starts_with("s.sqlite.damaged-"))
            found.push_back(name);
    }
    return found;
}

bool is_complete(const fakes::TemporaryFolder& folder)
{
    for (const std::string& name : names(folder)) {
        if (name.starts_with("s.sqlite.salvaged-"))
            return true;
    }
    return false;
}

/// As the next start finds it: every row, what was set aside, and nothing else.
void check_start(const fakes::TemporaryFolder& folder, const Damaged& damaged)
{
    const fakes::CapturedLog log;
    {
        const auto store = ::open(folder / "s.sqlite");
        std::vector<std::string> ids;
        for (int i = 1; i <= records; ++i)
            ids.push_back("r" + std::to_string(i));
        CHECK(waiting(*store, "x") == ids);
        CHECK(load(*store, "sessions").size() == entries);
        CHECK_FALSE(Store::open(folder / "s.sqlite")); // its lock is held
        put(*store, records + 1, records + 1);
        CHECK(waiting(*store, "x", records).size() == 1);
    }
    const std::vector<std::string> aside = set_aside(folder);
    REQUIRE_FALSE(aside.empty());
    if (aside.size() == 1) {
        // A start that begins anew has opened it, which moves the WAL into the file.
        CHECK(names(folder) == std::set<std::string>{"s.sqlite", "s.sqlite.lock", aside[0]});
        return;
    }
    CHECK(folder.read(aside[0]) == damaged.file);
    CHECK(folder.read(aside[0] + "-wal") == damaged.wal);
    CHECK(names(folder) ==
          std::set<std::string>{"s.sqlite", "s.sqlite.lock", aside[0], aside[0] + "-wal"});
}

} // namespace

TEST_CASE("wherever a salvage is killed, the next start has every row")
{
    const Damaged damaged;
    for (unsigned steps = 0, killed = 1; killed != 0; ++steps) {
        INFO(steps << " steps");
        const fakes::TemporaryFolder folder;
        const std::string path = damaged.put_into(folder);
        killed = is_killed_salvaging(path, steps) ? 1 : 0;
        CHECK((killed != 0 || steps >= 8));
        const bool begins_anew = set_aside(folder).empty() && !is_complete(folder);
        check_start(folder, damaged);
        CHECK(set_aside(folder).size() == (begins_anew ? 1 : 2));
    }
}

TEST_CASE("so it has when the start after that is killed, too")
{
    const Damaged damaged;
    for (unsigned steps = 0, killed = 1; killed != 0; ++steps) {
        for (unsigned more = 0, again = 1; again != 0; ++more) {
            INFO(steps << " steps, then " << more);
            const fakes::TemporaryFolder folder;
            const std::string path = damaged.put_into(folder);
            killed = is_killed_salvaging(path, steps) ? 1 : 0;
            again = is_killed(more, [&](const BetweenSteps& between) {
                return settle_swap(path, between).has_value();
            });
            check_start(folder, damaged);
        }
    }
}

TEST_CASE("nothing that was set aside, or that somebody put there, is overwritten")
{
    const Damaged damaged;
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const std::string path = folder / "s.sqlite";
    const auto is_between = [&] { return !fs::exists(path) && set_aside(folder).size() == 1; };
    for (unsigned steps = 0; !is_between(); ++steps) {
        for (const std::string& name : names(folder))
            fs::remove(folder / name);
        damaged.put_into(folder);
        REQUIRE(is_killed_salvaging(path, steps));
    }
    const std::string aside = set_aside(folder).front();
    folder.write("s.sqlite", "another");
    {
        const auto store = ::open(path);
        CHECK(waiting(*store, "x").size() == records);
    }
    CHECK(log.count("set aside as " + path + ".damaged-") == 1);
    CHECK(folder.read(aside) == damaged.file);
    CHECK(folder.read(aside + "-wal") == damaged.wal);
    CHECK(folder.read(aside + "-2") == "another");
}
