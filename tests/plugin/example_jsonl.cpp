// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <sys/syscall.h>
#include <unistd.h>

#include "fakes/accounting_record.hpp"
#include "fakes/temporary_folder.hpp"
#include "plugin/accounting_backend.hpp"

using namespace mediaproxy;
using namespace mediaproxy::plugin;
using Catch::Matchers::Contains;

namespace
{

bool disk_fails = false;

} // namespace

/// The plugin calls this one.
extern "C" int fdatasync(int fd)
{
    if (!disk_fails)
        return static_cast<int>(::syscall(SYS_fdatasync, fd));
    errno = EIO;
    return -1;
}

namespace
{

std::unique_ptr<AccountingBackend> make(asio::io_context& io, const std::string& path,
                                        const char* dir = BUILD_PLUGIN_DIR)
{
    PluginSource source;
    source.dir = dir;
    source.name = "jsonl";
    source.settings = {{"path", path, ""}};
    auto made = AccountingBackend::load(io, source);
    REQUIRE(made);
    return *std::move(made);
}

} // namespace

TEST_CASE("the sample plugin appends a line a session")
{
    const fakes::TemporaryFolder folder;
    asio::io_context io;
    const fakes::AccountingRecord first("r1", "a"), second("r2", "b");
    const std::array records{first.abi(), second.abi()};
    std::uint32_t done = 0;
    for (int run = 0; run < 2; ++run) {
        const auto backend = make(io, folder / "s.jsonl");
        REQUIRE(backend->open().ok());
        CHECK(backend->write(records, done).ok());
        CHECK(done == 2);
    }
    const std::string once = first.json() + "\n" + second.json() + "\n";
    CHECK(folder.read("s.jsonl") == once + once);
}

TEST_CASE("the sample plugin waits for a file that it cannot open or write")
{
    const fakes::TemporaryFolder folder;
    asio::io_context io;
    const auto nowhere = make(io, folder / "no/such/folder");
    CHECK(nowhere->open().status == MP_E_AGAIN);

    const auto full = make(io, "/dev/full");
    REQUIRE(full->open().ok());
    const fakes::AccountingRecord record("r1", "a");
    const std::array records{record.abi()};
    std::uint32_t done = 0;
    const Outcome outcome = full->write(records, done);
    CHECK(outcome.status == MP_E_AGAIN);
    CHECK_THAT(outcome.message, Contains("/dev/full: No space left on device"));
    CHECK(done == 0);
}

TEST_CASE("the sample plugin begins a new file where the old one was renamed")
{
    const fakes::TemporaryFolder folder;
    asio::io_context io;
    const fakes::AccountingRecord first("r1", "a"), second("r2", "b");
    const std::array before{first.abi()}, after{second.abi()};
    const auto backend = make(io, folder / "s.jsonl");
    REQUIRE(backend->open().ok());
    std::uint32_t done = 0;
    REQUIRE(backend->write(before, done).ok());
    std::filesystem::rename(folder / "s.jsonl", folder / "s.jsonl.1");
    CHECK(backend->write(after, done).ok());
    CHECK(folder.read("s.jsonl.1") == first.json() + "\n");
    CHECK(folder.read("s.jsonl") == second.json() + "\n");
}

TEST_CASE("the sample plugin takes back lines that did not reach the disk: they come again")
{
    const fakes::TemporaryFolder folder;
    asio::io_context io;
    const fakes::AccountingRecord first("r1", "a"), second("r2", "b");
    const std::array before{first.abi()}, records{second.abi()};
    const auto backend = make(io, folder / "s.jsonl");
    REQUIRE(backend->open().ok());
    std::uint32_t done = 0;
    REQUIRE(backend->write(before, done).ok());

    disk_fails = true;
    const Outcome outcome = backend->write(records, done);
    disk_fails = false;
    CHECK(outcome.status == MP_E_AGAIN);
    CHECK_THAT(outcome.message, Contains("s.jsonl: Input/output error"));
    CHECK(done == 0);
    CHECK(folder.read("s.jsonl") == first.json() + "\n");

    REQUIRE(backend->open().ok());
    CHECK(backend->write(records, done).ok());
    CHECK(folder.read("s.jsonl") == first.json() + "\n" + second.json() + "\n");
}

// Run by outside.sh, which builds it.
TEST_CASE("a plugin built outside the tree writes records", "[.]")
{
    const char* dir = std::getenv("OUTSIDE_PLUGIN_DIR");
    REQUIRE(dir != nullptr);
    const fakes::TemporaryFolder folder;
    asio::io_context io;
    const auto backend = make(io, folder / "s.jsonl", dir);
    REQUIRE(backend->open().ok());
    const fakes::AccountingRecord record("r1", "a");
    const std::array records{record.abi()};
    std::uint32_t done = 0;
    CHECK(backend->write(records, done).ok());
    CHECK(folder.read("s.jsonl") == record.json() + "\n");
}
