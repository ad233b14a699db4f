// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/core_loop.hpp"

#include <array>
#include <asio/buffer.hpp>
#include <asio/executor_work_guard.hpp>
#include <asio/local/connect_pair.hpp>
#include <asio/local/stream_protocol.hpp>
#include <asio/post.hpp>
#include <asio/read.hpp>
#include <asio/write.hpp>
#include <catch2/catch.hpp>
#include <fstream>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>

using namespace mediaproxy;
using namespace std::chrono_literals;

namespace
{

using Socket = asio::local::stream_protocol::socket;

/// How often the calling thread went to sleep by itself.
long naps() noexcept
{
    struct rusage usage {
    };
    ::getrusage(RUSAGE_THREAD, &usage);
    return usage.ru_nvcsw;
}

constexpr int exchanges = 200;

/// A peer that sends a byte, then one for each that comes back; at most so many.
void play_peer(Socket& socket)
{
    std::array<char, 1> byte{'x'};
    for (int i = 0; i < exchanges; ++i) {
        asio::write(socket, asio::buffer(byte));
        asio::read(socket, asio::buffer(byte));
    }
}

/// Answers the peer until it has had enough.
struct Echo {
    asio::io_context io{1};
    Socket here{io}, there{io};
    std::array<char, 1> byte{};
    int answered = 0;

    Echo() { asio::local::connect_pair(here, there); }
    void read()
    {
        here.async_read_some(asio::buffer(byte), [this](const asio::error_code&, std::size_t) {
            asio::write(here, asio::buffer(byte));
            if (++answered < exchanges)
                read();
        });
    }
    /// How often the loop slept.
    long run(std::chrono::microseconds busy_poll)
    {
        read();
        std::thread peer([this] { play_peer(there); });
        const long before = naps();
        app::run_core_loop(io, busy_poll);
        const long slept = naps() - before;
        peer.join();
        return slept;
    }
};

} // namespace

TEST_CASE("The core loop ends when there is no work left, or when it is stopped")
{
    const auto busy_poll = GENERATE(0us, 15us);
    asio::io_context io(1);
    int done = 0;
    asio::post(io, [&] { ++done; });
    app::run_core_loop(io, busy_poll);
    CHECK(done == 1);

    io.restart();
    const auto work = asio::make_work_guard(io);
    asio::post(io, [&] { io.stop(); });
    app::run_core_loop(io, busy_poll);
    CHECK(io.stopped());
}

TEST_CASE("What escapes a handler ends that handler; the loop goes on")
{
    const auto busy_poll = GENERATE(0us, 15us);
    asio::io_context io(1);
    int done = 0;
    asio::post(io, [] { throw std::runtime_error("first"); });
    asio::post(io, [&] { ++done; });
    asio::post(io, [] { throw std::runtime_error("third"); });
    asio::post(io, [&] { ++done; });
    app::run_core_loop(io, busy_poll);
    CHECK(done == 2);
}

TEST_CASE("With busy_poll the loop is awake when the next request follows the answer")
{
    Echo sleeper, watcher;
    const long without = sleeper.run(0us);
    const long with = watcher.run(10s); // longer than any wait for a processor
    CHECK(sleeper.answered == exchanges);
    CHECK(watcher.answered == exchanges);
    INFO("slept " << without << " times without, " << with << " with");
    CHECK(with <= 1); // before the first one
    CHECK(without > with);
}

TEST_CASE("The loop sleeps when busy_poll has passed without work")
{
    asio::io_context io(1);
    Socket here(io), there(io);
    asio::local::connect_pair(here, there);
    std::array<char, 1> byte{};
    here.async_read_some(asio::buffer(byte), [](const asio::error_code&, std::size_t) {});
    const pid_t loop = ::gettid();
    std::thread peer([&] {
        // Only when it sleeps: field 3 of its stat is then S.
        const std::string path = "/proc/self/task/" + std::to_string(loop) + "/stat";
        for (std::string stat; stat.find(") S ") == std::string::npos;) {
            std::ifstream file(path);
            std::getline(file, stat);
        }
        asio::write(there, asio::buffer("x", 1));
    });
    const long before = naps();
    app::run_core_loop(io, 15us);
    CHECK(naps() > before);
    peer.join();
}
