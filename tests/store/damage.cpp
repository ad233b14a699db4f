// SPDX-License-Identifier: GPL-2.0-or-later
#include <filesystem>
#include <fstream>
#include <sys/stat.h>
#include <thread>

#include "fakes/captured_log.hpp"
#include "fakes/file_size_limit.hpp"
#include "fakes/temporary_folder.hpp"
#include "opened.hpp"

using namespace mediaproxy;
using namespace mediaproxy::store;

namespace
{

constexpr int records = 500;
constexpr std::size_t page = 4096;

/// 500 records for "x" of which the third is refused, 200 entries of state.
void fill(const std::string& path, const char* before = "")
{
    const auto store = open(path);
    run(path, before);
    for (int i = 1; i <= records; ++i)
        REQUIRE(store->put_record({"x"}, "r" + std::to_string(i), std::string(900, 'b')));
    REQUIRE(store->flush(long_enough)); // so that the state has the last pages, always
    for (int i = 0; i < 200; ++i)
        store->save("sessions", std::to_string(1000 + i), std::string(200, 'v'));
    REQUIRE(store->flush(long_enough));
    store->park(store->waiting("x", 0, 3)->at(2).sequence, "too long");
}

void overwrite(const std::string& path, std::size_t at, std::size_t size)
{
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    REQUIRE(file.seekp(static_cast<std::streamoff>(at))
                .write(std::string(size, '\xa5').data(), static_cast<std::streamsize>(size)));
}

std::size_t find(const std::string& path, const std::string& bytes)
{
    std::ifstream file(path, std::ios::binary);
    const std::size_t at = std::string((std::istreambuf_iterator<char>(file)), {}).find(bytes);
    REQUIRE(at != std::string::npos);
    return at;
}

/// The page that holds the record with this id.
std::size_t page_of(const std::string& path, const std::string& record_id)
{
    return find(path, record_id + "bbb") / page;
}

/// The files of the folder that this process has open.
std::vector<std::string> open_files(const fakes::TemporaryFolder& folder)
{
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        std::error_code gone; // the one that reads this folder
        const std::string name = std::filesystem::read_symlink(entry, gone);
        if (name.starts_with(folder.path()))
            names.push_back(name.substr(folder.path().size() + 1));
    }
    return names;
}

std::ptrdiff_t count_files(const fakes::TemporaryFolder& folder)
{
    const std::filesystem::directory_iterator files(folder.path());
    return std::distance(begin(files), end(files));
}

std::vector<std::string> set_aside(const fakes::TemporaryFolder& folder)
{
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
        const std::string name = entry.path().filename();
        if (name.find(".damaged-") != std::string::npos)
            names.push_back(name);
    }
    return names;
}

} // namespace

TEST_CASE("a file whose header is gone is set aside, and all of it is saved")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const std::string path = folder / "s.sqlite";
    fill(path);
    std::size_t size = 0;
    SECTION("the header alone")
    {
        size = 100;
    }
    SECTION("the whole first page")
    {
        size = page;
    }
    overwrite(path, 0, size);
    {
        const auto store = open(path);
        CHECK(waiting(*store, "x").size() == records - 1);
        CHECK(store->count()->at(0).parked == 1);
        CHECK(load(*store, "sessions").size() == 200);
        CHECK(log.count("set aside as " + path + ".damaged-") == 1);
        // One entry is the number of the last batch.
        CHECK(log.count("500 records and 201 entries of state were saved") == 1);
        // And goes on where it was.
        REQUIRE(store->put_record({"x"}, "new", "{}"));
        REQUIRE(store->flush(long_enough));
        CHECK(waiting(*store, "x").back() == "new");
    }
    CHECK(set_aside(folder).size() == 1);
    struct stat file {
    };
    REQUIRE(::stat(path.c_str(), &file) == 0);
    CHECK((file.st_mode & 0027) == 0);
    (void)open(path);
    CHECK(set_aside(folder).size() == 1);
}

TEST_CASE("of a file with damaged pages everything else is saved")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const std::string path = folder / "s.sqlite";
    fill(path);
    const std::size_t pages = std::filesystem::file_size(path) / page;
    REQUIRE(pages > 120);
    for (const std::size_t damaged : {pages / 4, pages / 4 + 1, pages / 2})
        overwrite(path, damaged * page, page);
    const auto store = open(path);
    const std::vector<std::string> ids = waiting(*store, "x");
    CHECK(ids.size() >= records - 1 - 3 * 5); // five records a page
    CHECK(ids.size() < records - 1);
    CHECK(ids.front() == "r1");
    CHECK(ids.back() == "r500");
    CHECK(load(*store, "sessions").size() == 200); // none of its pages is among them
    CHECK(log.count("were saved from it") == 1);
    CHECK(set_aside(folder).size() == 1);
}

TEST_CASE("of a file that was repaired before, the tail of the spool may be unreadable")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const std::string path = folder / "s.sqlite";
    // A repair at run time lets the numbers go on so high.
    fill(path, "INSERT INTO sqlite_sequence (name, seq) VALUES ('spool', 7600000000000000000)");
    overwrite(path, page_of(path, "r500") * page, page);
    const auto store = open(path);
    const std::vector<std::string> ids = waiting(*store, "x");
    CHECK(ids.size() >= records - 1 - 5);
    CHECK(ids.size() < records - 1);
    CHECK(ids.front() == "r1");
    CHECK(log.count("were saved from it") == 1);
}

TEST_CASE("damage that the check at the start does not reach is repaired by the start, too")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const std::string path = folder / "s.sqlite";
    fill(path, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9999) "
               "INSERT INTO state SELECT 'tokens', CAST(i AS BLOB), x'00' FROM n");
    // A row that says it is longer than it is: the size of its header comes first of all.
    overwrite(path, find(path, "tokens9999") - 4, 1);
    {
        const auto store = open(path, {.check_patience = Milliseconds{0}});
        CHECK(log.count("set aside as") == 1);
        CHECK(waiting(*store, "x").size() == records - 1);
        CHECK(load(*store, "tokens").size() == 9998);
        store->erase("tokens", "1");
        REQUIRE(store->flush(long_enough));
        CHECK(load(*store, "tokens").size() == 9997);
    }
    CHECK(set_aside(folder).size() == 1);
    (void)open(path);
    CHECK(set_aside(folder).size() == 1);
}

TEST_CASE("another kind of file is set aside too")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const std::string text(5000, 'x');
    folder.write("s.sqlite", text);
    const auto store = open(folder / "s.sqlite");
    CHECK(store->count()->empty());
    REQUIRE(set_aside(folder).size() == 1);
    CHECK(folder.read(set_aside(folder).front()) == text);
}

TEST_CASE("a damaged file for whose repair there is no room stays where it is")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const std::string path = folder / "s.sqlite";
    fill(path);
    std::size_t room = 0;
    SECTION("for a copy of it")
    {
        room = 64 * 1024;
    }
    SECTION("for the new one")
    {
        // Its WAL is longer than the file by some bytes for each of these.
        run(path, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000) "
                  "INSERT INTO spool (backend, record_id, body) SELECT 'y', 'many', "
                  "hex(zeroblob(400)) FROM n");
        room = std::filesystem::file_size(path) + page;
    }
    overwrite(path, 0, 100);
    {
        const fakes::FileSizeLimit full(room);
        const auto refused = Store::open(path);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().message.find(path) != std::string::npos);
    }
    CHECK(set_aside(folder).empty());
    CHECK(count_files(folder) == 2); // the lock is the other
    const auto store = open(path);
    CHECK(waiting(*store, "x").size() == records - 1);
}

TEST_CASE("a file that is damaged while it is in use is replaced without a restart")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const std::string path = folder / "s.sqlite";
    fill(path);
    const auto store = open(path);
    const std::size_t pages = std::filesystem::file_size(path) / page;
    overwrite(path, pages / 2 * page, page);
    while (log.count("were saved from it") == 0) {
        (void)store->waiting("x", 0, 100000); // says that it is damaged
        std::this_thread::yield();
    }
    CHECK(waiting(*store, "x").size() > 400);
    const auto newest = store->waiting("x", 0, 100000)->back().sequence;
    REQUIRE(store->put_record({"x"}, "new", "{}"));
    REQUIRE(store->flush(long_enough));
    CHECK(waiting(*store, "x", newest) == std::vector<std::string>{"new"});
}

TEST_CASE("what is to be synced while the file is replaced is synced in the new one")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const std::string path = folder / "s.sqlite";
    fill(path);
    // So many that the next sync is due before they are saved.
    run(path, "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000) "
              "INSERT INTO spool (backend, record_id, body) SELECT 'y', 'many', "
              "hex(zeroblob(400)) FROM n");
    const auto store = open(path, {.sync_interval = Milliseconds{20}});
    overwrite(path, page_of(path, "r1") * page, page);
    REQUIRE(store->put_record({"x"}, "just before", "{}"));
    REQUIRE(store->flush(long_enough));
    while (log.count("were saved from it") == 0)
        (void)store->waiting("x", 0, 10); // says that it is damaged
    REQUIRE(store->put_record({"x"}, "after", "{}"));
    REQUIRE(store->flush(long_enough));
    await([&] { return store->is_synced(); });
    const std::vector<std::string> ids = waiting(*store, "x");
    CHECK(ids.at(ids.size() - 2) == "just before");
    CHECK(ids.back() == "after");
    for (const std::string& name : open_files(folder)) {
        INFO(name);
        CHECK(name.find("(deleted)") == std::string::npos);
        CHECK(name.find(".damaged-") == std::string::npos);
    }
    CHECK(log.count("no power cut") == 0);
}
