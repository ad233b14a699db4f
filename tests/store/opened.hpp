// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <catch2/catch.hpp>
#include <chrono>
#include <csignal>
#include <map>
#include <sqlite3.h>
#include <string>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "fakes/file_size_limit.hpp"
#include "store/store.hpp"

constexpr mediaproxy::Milliseconds long_enough{20000};

inline std::unique_ptr<mediaproxy::store::Store> open(const std::string& path,
                                                      mediaproxy::store::Options options = {})
{
    auto opened = mediaproxy::store::Store::open(path, options);
    INFO((opened ? "" : opened.error().message));
    REQUIRE(opened);
    return *std::move(opened);
}

/// Runs `act` on the store in a process that kills itself then.
template <class Act>
void kill_after(const std::string& path, const Act& act)
{
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        auto store = mediaproxy::store::Store::open(path);
        if (!store)
            ::_exit(1);
        act(**store);
        ::kill(::getpid(), SIGKILL);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WIFSIGNALED(status));
}

/// On a disk that has no room for a journal.
inline std::unique_ptr<mediaproxy::store::Store> open_without_journal(const std::string& path)
{
    const mediaproxy::fakes::FileSizeLimit full(1 << 20);
    return open(path);
}

inline std::map<std::string, std::string> load(mediaproxy::store::Store& store,
                                               const std::string& table)
{
    std::map<std::string, std::string> found;
    REQUIRE(store.load_all(
        table, [&](std::string_view key, std::string_view value) { found.emplace(key, value); }));
    return found;
}

/// Record ids.
inline std::vector<std::string> waiting(mediaproxy::store::Store& store, const std::string& backend,
                                        std::uint64_t after = 0)
{
    std::vector<std::string> ids;
    const auto records = store.waiting(backend, after, 100000);
    REQUIRE(records);
    for (const auto& record : *records)
        ids.push_back(record.record_id);
    return ids;
}

/// As somebody with a shell on the file would.
inline void run(const std::string& path, const char* sql)
{
    sqlite3* file = nullptr;
    REQUIRE(sqlite3_open(path.c_str(), &file) == SQLITE_OK);
    REQUIRE(sqlite3_exec(file, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(file);
}

template <class Done>
void await(Done done)
{
    const auto end = std::chrono::steady_clock::now() + long_enough;
    while (!done() && std::chrono::steady_clock::now() < end)
        std::this_thread::yield();
    REQUIRE(done());
}
