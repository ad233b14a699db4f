// SPDX-License-Identifier: GPL-2.0-or-later
#include <asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <csignal>
#include <set>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include "accounting/accounting.hpp"
#include "fakes/captured_log.hpp"
#include "fakes/session_report.hpp"
#include "fakes/temporary_folder.hpp"

using namespace mediaproxy;
using accounting::Accounting;

namespace
{

constexpr Milliseconds long_enough{20000};

plugin::PluginSource sqlite_source(const fakes::TemporaryFolder& folder)
{
    plugin::PluginSource source;
    source.dir = BUILD_PLUGIN_DIR;
    source.name = "sqlite";
    source.settings = {{"path", folder / "sessions.sqlite", ""}};
    return source;
}

/// A daemon that accounts calls until it is killed. It writes a byte to `progress` for each record
/// that it knows to be in the store.
[[noreturn]] void account_until_killed(const fakes::TemporaryFolder& folder, int round,
                                       int progress)
{
    asio::io_context io;
    auto store = store::Store::open(folder / "state.sqlite");
    if (!store)
        ::_exit(1);
    Accounting accounting(**store);
    accounting.add(io, sqlite_source(folder));
    for (int i = 0;; ++i) {
        accounting.take(fakes::answered_report(std::to_string(round) + "." + std::to_string(i)));
        if (!(*store)->flush(long_enough) || ::write(progress, "x", 1) != 1)
            ::_exit(2);
    }
}

std::vector<std::string> record_ids(const std::string& path)
{
    std::vector<std::string> ids;
    sqlite3* file = nullptr;
    REQUIRE(sqlite3_open(path.c_str(), &file) == SQLITE_OK);
    sqlite3_exec(
        file, "SELECT record_id FROM media_sessions",
        [](void* out, int, char** values, char**) {
            static_cast<std::vector<std::string>*>(out)->emplace_back(values[0]);
            return 0;
        },
        &ids, nullptr);
    sqlite3_close(file);
    return ids;
}

} // namespace

TEST_CASE("a record in the store reaches SQLite exactly once, however often the daemon is killed")
{
    const fakes::CapturedLog log;
    const fakes::TemporaryFolder folder;
    std::set<std::string> promised;
    for (int round = 0; round < 5; ++round) {
        int pipe[2];
        REQUIRE(::pipe(pipe) == 0);
        const pid_t child = ::fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            ::close(pipe[0]);
            account_until_killed(folder, round, pipe[1]);
        }
        ::close(pipe[1]);
        char byte = 0;
        const int calls = 10 + 7 * round;
        for (int i = 0; i < calls; ++i) {
            REQUIRE(::read(pipe[0], &byte, 1) == 1);
            promised.insert(std::to_string(round) + "." + std::to_string(i));
        }
        ::kill(child, SIGKILL);
        int status = 0;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(WIFSIGNALED(status));
        ::close(pipe[0]);
    }
    {
        asio::io_context io;
        auto store = store::Store::open(folder / "state.sqlite");
        REQUIRE(store);
        Accounting accounting(**store);
        accounting.add(io, sqlite_source(folder));
        accounting.stop(long_enough);
        REQUIRE((*store)->flush(long_enough));
        CHECK((*store)->waiting("accounting.sqlite", 0, 10)->empty());
    }
    const std::vector<std::string> written = record_ids(folder / "sessions.sqlite");
    const std::set<std::string> unique(written.begin(), written.end());
    CHECK(unique.size() == written.size());
    for (const std::string& id : promised)
        CHECK(unique.contains(id));
}
