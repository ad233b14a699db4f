// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/journal.hpp"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <future>
#include <optional>
#include <unistd.h>

#include "fakes/captured_log.hpp"
#include "fakes/temporary_folder.hpp"
#include "opened.hpp"
#include "store/database.hpp"

using namespace mediaproxy;
using namespace mediaproxy::store;

namespace
{

Journal make(const std::string& path)
{
    auto made = Journal::make(path);
    REQUIRE(made);
    return *std::move(made);
}

std::vector<Changes> read(const std::string& path)
{
    auto left = Journal::read(path);
    REQUIRE(left);
    return *std::move(left);
}

void save(Journal& journal, const std::string& key)
{
    journal.save("t", key, "v");
    REQUIRE(journal.write());
}

std::vector<std::string> keys(const Changes& changes)
{
    std::vector<std::string> keys;
    for (const auto& [joined, value] : changes.state)
        keys.emplace_back(Changes::key_of(joined));
    std::sort(keys.begin(), keys.end());
    return keys;
}

using Keys = std::vector<std::string>;

void overwrite(const std::string& path, std::size_t at, const std::string& bytes)
{
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file << bytes;
    REQUIRE(file);
}

/// In this thread or never: nobody waits for the disk.
bool is_durable(Store& store)
{
    bool told = false;
    store.when_durable([&] { told = true; });
    return told;
}

/// A file without any batch.
struct Fixture {
    fakes::TemporaryFolder folder;
    std::string path = folder / "j";
    Journal journal = make(path);
};

} // namespace

TEST_CASE("a journal gives back what was written, byte for byte")
{
    const fakes::TemporaryFolder folder;
    const std::string path = folder / "j", odd_key("k\0\n'\xff", 5), odd_value("\0\xfe", 2);
    Journal journal = make(path);
    journal.begin({7, 1});
    journal.save("sessions", odd_key, odd_value);
    journal.save("sessions", "a", "1");
    journal.erase("relays", "b");
    CHECK(journal.has_unwritten());
    REQUIRE(journal.write());
    CHECK_FALSE(journal.has_unwritten());
    journal.put_record({"x", "y"}, "r1", "{1}", 1234);
    journal.save("sessions", "a", "");
    REQUIRE(journal.write());
    const auto left = read(path);
    REQUIRE(left.size() == 1);
    CHECK(left[0].number == BatchNumber{7, 1});
    REQUIRE(left[0].state.size() == 3);
    CHECK(left[0].state.at(Changes::join("sessions", odd_key)) == odd_value);
    CHECK(left[0].state.at(Changes::join("sessions", "a")) == ""); // the last one counts
    CHECK(left[0].state.at(Changes::join("relays", "b")) == std::nullopt);
    REQUIRE(left[0].records.size() == 2);
    CHECK(left[0].records[0].backend == "x");
    CHECK(left[0].records[1].backend == "y");
    CHECK(left[0].records[1].record_id == "r1");
    CHECK(left[0].records[1].body == "{1}");
    CHECK(left[0].records[1].made_at == 1234);
}

TEST_CASE("what was not written to the end of an entry does not count")
{
    Fixture f;
    auto& [folder, path, journal] = f;
    journal.begin({7, 1});
    save(journal, "a");
    journal.save("t", "b", "v");
    CHECK(keys(read(path).at(0)) == Keys{"a"});
}

TEST_CASE("a journal keeps two batches, in their order")
{
    Fixture f;
    auto& [folder, path, journal] = f;
    CHECK(read(path).empty());
    journal.begin({7, 1});
    for (const char* key : {"a", "b", "c"})
        save(journal, key);
    journal.begin({7, 2});
    save(journal, "d");
    auto left = read(path);
    REQUIRE(left.size() == 2);
    CHECK(left[0].number == BatchNumber{7, 1});
    CHECK(keys(left[0]) == Keys{"a", "b", "c"});
    CHECK(keys(left[1]) == Keys{"d"});

    journal.end();
    left = read(path);
    REQUIRE(left.size() == 1);
    CHECK(keys(left[0]) == Keys{"d"});

    // In the place of the first one, of which much is still there.
    journal.begin({7, 3});
    save(journal, "e");
    left = read(path);
    REQUIRE(left.size() == 2);
    CHECK(keys(left[0]) == Keys{"d"});
    CHECK(keys(left[1]) == Keys{"e"});
}

TEST_CASE("a batch that came to nothing leaves nothing, the one before it stays")
{
    Fixture f;
    auto& [folder, path, journal] = f;
    journal.begin({7, 1});
    save(journal, "a");
    journal.begin({7, 2});
    save(journal, "b");
    journal.save("t", "c", "v");
    journal.discard();
    CHECK_FALSE(journal.has_unwritten());
    REQUIRE(read(path).size() == 1);
    CHECK(keys(read(path)[0]) == Keys{"a"});
    save(journal, "d");
    CHECK(keys(read(path).at(1)) == Keys{"d"});
}

TEST_CASE("a batch that the journal has no room for is there up to that point, the next one again")
{
    Fixture f;
    auto& [folder, path, journal] = f;
    journal.begin({7, 1});
    const std::string value(1 << 20, 'v');
    for (const char* key : {"a", "b", "c"}) {
        journal.save("t", key, value);
        REQUIRE(journal.write());
    }
    journal.save("t", "d", value);
    CHECK_FALSE(journal.write());
    journal.save("t", "small", "v"); // there is room, but not for what was before it
    CHECK_FALSE(journal.write());
    CHECK_FALSE(journal.has_unwritten());
    CHECK(keys(read(path).at(0)) == Keys{"a", "b", "c"});
    journal.begin({7, 2});
    save(journal, "e");
    CHECK(keys(read(path).at(1)) == Keys{"e"});
}

TEST_CASE("memory that a flood has taken is given back, what was written stays")
{
    Fixture f;
    auto& [folder, path, journal] = f;
    const auto resident = [&] {
        std::ifstream maps("/proc/self/smaps");
        std::size_t kilobytes = 0;
        for (std::string line; std::getline(maps, line);) {
            if (!line.ends_with(f.path))
                continue;
            while (std::getline(maps, line) && !line.starts_with("Rss:")) {
            }
            kilobytes += std::stoul(line.substr(line.find_first_of("0123456789")));
        }
        return kilobytes;
    };
    CHECK(resident() == 0);
    journal.begin({7, 1});
    const std::string value(1000, 'v');
    for (int i = 0; i < 2000; ++i) {
        journal.save("t", std::to_string(i), value);
        REQUIRE(journal.write());
    }
    CHECK(resident() >= 2000);
    CHECK(journal.trim());
    CHECK(resident() <= 2 * Journal::kept_by_trim / 1024);
    CHECK(read(path).at(0).state.size() == 2000);
    save(journal, "one more");
    CHECK(read(path).at(0).state.size() == 2001);
    journal.begin({7, 2});
    CHECK(journal.trim());
    CHECK_FALSE(journal.trim());
}

TEST_CASE("of a journal that a power cut left, what is whole is read")
{
    const fakes::TemporaryFolder folder;
    const std::string path = folder / "j";
    std::size_t second = 0;
    {
        Journal journal = make(path);
        journal.begin({7, 1});
        save(journal, "a");
        save(journal, "b");
        save(journal, "c");
        second = 32 + 1 + 3 * 8 + 3 + 4; // the head, a save of three letters, what pads it
    }
    // The batch stands in the second half: the first begin() goes there.
    const std::size_t at = Journal::batch_capacity;
    SECTION("an entry is damaged")
    {
        overwrite(path, at + second + 40, "?");
        CHECK(keys(read(path).at(0)) == Keys{"a"});
    }
    SECTION("its head is")
    {
        overwrite(path, at + second + 9, "?");
        CHECK(keys(read(path).at(0)) == Keys{"a"});
    }
    SECTION("it says to be longer than the file")
    {
        overwrite(path, at + second + 28, std::string(4, '\xff'));
        CHECK(keys(read(path).at(0)) == Keys{"a"});
    }
    SECTION("the first one is")
    {
        overwrite(path, at + 3, "?");
        CHECK(read(path).empty());
    }
    SECTION("the file is cut")
    {
        std::filesystem::resize_file(path, at + 2 * second);
        CHECK(keys(read(path).at(0)) == Keys{"a", "b"});
        std::filesystem::resize_file(path, at + second + 20);
        CHECK(keys(read(path).at(0)) == Keys{"a"});
        std::filesystem::resize_file(path, 5);
        CHECK(read(path).empty());
    }
    SECTION("it is something else")
    {
        std::ofstream(path) << std::string(100000, 'x');
        CHECK(read(path).empty());
    }
    SECTION("it is gone")
    {
        std::filesystem::remove(path);
        CHECK(read(path).empty());
    }
}

TEST_CASE("a write that is told to be durable survives a kill -9 that comes before its commit")
{
    const fakes::CapturedLog log;
    const fakes::TemporaryFolder folder;
    const std::string path = folder / "s.sqlite";
    for (int round = 0; round < 5; ++round) {
        const std::string id = std::to_string(round);
        kill_after(path, [&](Store& store) {
            store.hold();
            store.save("sessions", "last", id);
            store.save("sessions", id, "v");
            store.erase("sessions", std::to_string(round - 1));
            const bool put = store.put_record({"x", "y"}, id, "{}").has_value();
            store.release();
            if (!put || !is_durable(store))
                ::_exit(3);
        });
    }
    const auto store = open(path);
    CHECK(load(*store, "sessions") ==
          std::map<std::string, std::string>{{"last", "4"}, {"4", "v"}});
    CHECK(waiting(*store, "x") == std::vector<std::string>{"0", "1", "2", "3", "4"});
    CHECK(waiting(*store, "y").size() == 5);
    CHECK(log.count("2 records and 3 entries of state were still in its journal") > 0);
}

TEST_CASE("nobody is told of a write that is held, or for which the journal has no room")
{
    const fakes::TemporaryFolder folder;
    const auto store = open(folder / "s.sqlite");
    store->hold();
    REQUIRE(store->put_record({"x"}, "r1", "{}"));
    std::promise<void> told;
    auto outcome = told.get_future();
    store->when_durable([&] { told.set_value(); });
    CHECK(outcome.wait_for(Milliseconds{0}) == std::future_status::timeout);
    const std::string large(Journal::batch_capacity, 'b');
    REQUIRE(store->put_record({"x"}, "r2", large));
    store->release();
    REQUIRE(outcome.wait_for(long_enough) == std::future_status::ready);
    CHECK(waiting(*store, "x") == std::vector<std::string>{"r1", "r2"});

    // And then there is room again.
    REQUIRE(store->put_record({"x"}, "r3", "{}"));
    CHECK(is_durable(*store));
}

TEST_CASE("a batch of the journal that was committed before the kill is not committed again")
{
    const fakes::TemporaryFolder folder;
    const std::string path = folder / "s.sqlite", journal = path + ".journal";
    kill_after(path, [&](Store& store) {
        if (!store.put_record({"x"}, "r1", "{}"))
            ::_exit(3);
        std::filesystem::copy_file(journal, folder / "before the commit");
        if (!store.flush(long_enough))
            ::_exit(4);
    });
    std::filesystem::copy_file(folder / "before the commit", journal,
                               std::filesystem::copy_options::overwrite_existing);
    const auto store = open(path);
    CHECK(waiting(*store, "x") == std::vector<std::string>{"r1"});
}

TEST_CASE("a journal is gone once its store was closed, and one that cannot be read is set aside")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const std::string path = folder / "s.sqlite", journal = path + ".journal";
    {
        const auto store = open(path);
        REQUIRE(store->put_record({"x"}, "r1", "{}"));
        CHECK(std::filesystem::exists(journal));
    }
    CHECK_FALSE(std::filesystem::exists(journal));
    std::filesystem::create_directory(journal);
    const auto store = open(path);
    CHECK(waiting(*store, "x") == std::vector<std::string>{"r1"});
    CHECK(log.count("set aside as " + journal + ".unreadable") == 1);
    CHECK(std::filesystem::is_regular_file(journal));
}

TEST_CASE("a journal whose file somebody cuts is given up, and the store goes on without")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const std::string path = folder / "s.sqlite", journal = path + ".journal";
    const auto store = open(path);
    REQUIRE(store->put_record({"x"}, "r1", "{}"));
    REQUIRE(store->flush(long_enough));
    REQUIRE(::truncate(journal.c_str(), 0) == 0);
    for (const char* id : {"r2", "r3"}) {
        REQUIRE(store->put_record({"x"}, id, "{}"));
        std::promise<void> told;
        store->when_durable([&] { told.set_value(); });
        REQUIRE(told.get_future().wait_for(long_enough) == std::future_status::ready);
        CHECK(waiting(*store, "x").back() == id);
    }
    CHECK(log.count("s.sqlite.journal: is not there any more") == 1);
    CHECK_FALSE(std::filesystem::exists(journal));
}

TEST_CASE("what a disk that fails has not taken when the store closes is in its journal")
{
    const fakes::TemporaryFolder folder;
    const fakes::CapturedLog log;
    const std::string path = folder / "s.sqlite";
    std::optional<fakes::FileSizeLimit> full;
    {
        const auto store = open(path);
        full.emplace(64 * 1024);
        REQUIRE(store->put_record({"x"}, "r1", std::string(100000, 'b')));
        CHECK(is_durable(*store)); // before the disk was asked
        await([&] { return !store->unwritten()->reason.empty(); });
        CHECK_FALSE(is_durable(*store));
    }
    full.reset();
    CHECK(log.count("0 state changes and 1 accounting records that only its journal has") == 1);
    CHECK(log.count("lost accounting record") == 0);
    const auto store = open(path);
    CHECK(waiting(*store, "x") == std::vector<std::string>{"r1"});
}

TEST_CASE("sessions that come and go between two commits do not fill the journal")
{
    const fakes::TemporaryFolder folder;
    const auto store = open(folder / "s.sqlite");
    const std::string value(100000, 'v');
    for (int i = 0; i < 100; ++i) {
        store->save("sessions", "a", value);
        store->erase("sessions", "a");
    }
    REQUIRE(store->put_record({"x"}, "r1", "{}"));
    CHECK(is_durable(*store));
}
