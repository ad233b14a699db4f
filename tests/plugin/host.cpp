// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <fcntl.h>
#include <memory>
#include <stdexcept>
#include <thread>
#include <unistd.h>

#include "base/unique_fd.hpp"
#include "fakes/log_lines.hpp"
#include "plugin/host.hpp"

using namespace mediaproxy;
using namespace mediaproxy::plugin;

namespace
{

struct Pipe {
    Pipe()
    {
        std::array<int, 2> ends{};
        REQUIRE(::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) == 0);
        read.reset(ends[0]);
        write.reset(ends[1]);
    }
    UniqueFd read, write;
};

/// A plugin that counts how often it is called.
struct Plugin {
    const mp_host* host = nullptr;
    int calls = 0;
    std::uint32_t last_events = 0;
    std::uint32_t watch_id = 0;

    static void on_post(void* user) { ++static_cast<Plugin*>(user)->calls; }
    static void on_events(void* user, std::uint32_t events)
    {
        auto& self = *static_cast<Plugin*>(user);
        ++self.calls;
        self.last_events = events;
        if (self.calls == 3)
            self.host->unwatch_fd(self.host, self.watch_id);
    }
};

HostOptions options(fakes::LogLines& lines)
{
    return {"1.4.0", "relay-7", "/var/lib/x", lines.sink(), {}};
}

} // namespace

TEST_CASE("a plugin is told whose it is and logs under its name")
{
    asio::io_context io;
    fakes::LogLines lines;
    int service = 0;
    HostOptions given = options(lines);
    given.services["mp.test/1"] = &service;
    const Host host(io, "accounting.x", given);
    const mp_host* abi = host.abi();

    CHECK(abi->struct_size == sizeof(mp_host));
    CHECK(abi->abi == MP_ABI_VERSION);
    CHECK(abi->version == std::string("1.4.0"));
    CHECK(abi->owner == std::string("relay-7"));
    CHECK(abi->state_dir == std::string("/var/lib/x"));
    CHECK(abi->get_service(abi, "mp.test/1") == &service);
    CHECK(abi->get_service(abi, "mp.unknown/1") == nullptr);

    abi->log(abi, MP_LOG_WARNING, "two\nlines");
    REQUIRE(lines.all().size() == 1);
    CHECK(lines.all()[0].level == MP_LOG_WARNING);
    CHECK(lines.all()[0].plugin == "accounting.x");
    CHECK(lines.all()[0].text == "two\\x0alines");
}

TEST_CASE("what a thread posts runs once on the core thread")
{
    asio::io_context io;
    fakes::LogLines lines;
    const Host host(io, "x", options(lines));
    Plugin plugin{host.abi()};
    std::thread([&] { host.abi()->post(host.abi(), &Plugin::on_post, &plugin); }).join();
    CHECK(plugin.calls == 0);
    io.run();
    CHECK(plugin.calls == 1);
}

TEST_CASE("what was posted is dropped once the host is gone")
{
    asio::io_context io;
    fakes::LogLines lines;
    Plugin plugin;
    {
        const Host host(io, "x", options(lines));
        host.abi()->post(host.abi(), &Plugin::on_post, &plugin);
    }
    io.run();
    CHECK(plugin.calls == 0);
}

TEST_CASE("an exception from a posted call is logged and the loop runs on")
{
    asio::io_context io;
    fakes::LogLines lines;
    const Host host(io, "x", options(lines));
    Plugin plugin{host.abi()};
    host.abi()->post(
        host.abi(), [](void*) { throw std::runtime_error("oops"); }, nullptr);
    host.abi()->post(host.abi(), &Plugin::on_post, &plugin);
    io.run();
    CHECK(plugin.calls == 1);
    CHECK(lines.count("threw a C++ exception: oops") == 1);
}

TEST_CASE("a watch is level-triggered until it ends, and ends from inside its call")
{
    asio::io_context io;
    fakes::LogLines lines;
    const Host host(io, "x", options(lines));
    Plugin plugin{host.abi()};
    const Pipe pipe;
    REQUIRE(::write(pipe.write.get(), "x", 1) == 1);
    REQUIRE(host.abi()->watch_fd(host.abi(), pipe.read.get(), MP_FD_READ, &Plugin::on_events,
                                 &plugin, &plugin.watch_id) == MP_OK);
    io.run(); // returns because the third call ends the watch
    CHECK(plugin.calls == 3);
    CHECK(plugin.last_events == MP_FD_READ);
    CHECK(::fcntl(pipe.read.get(), F_GETFD) >= 0); // still the plugin's
}

TEST_CASE("a writable descriptor is told")
{
    asio::io_context io;
    fakes::LogLines lines;
    const Host host(io, "x", options(lines));
    Plugin plugin{host.abi()};
    const Pipe pipe;
    REQUIRE(host.abi()->watch_fd(host.abi(), pipe.write.get(), MP_FD_WRITE, &Plugin::on_events,
                                 &plugin, &plugin.watch_id) == MP_OK);
    io.run();
    CHECK(plugin.last_events == MP_FD_WRITE);
}

TEST_CASE("watches end with the host and leave the descriptor open")
{
    asio::io_context io;
    fakes::LogLines lines;
    Plugin plugin;
    const Pipe pipe;
    {
        const Host host(io, "x", options(lines));
        plugin.host = host.abi();
        REQUIRE(host.abi()->watch_fd(host.abi(), pipe.read.get(), MP_FD_READ, &Plugin::on_events,
                                     &plugin, &plugin.watch_id) == MP_OK);
    }
    REQUIRE(::write(pipe.write.get(), "x", 1) == 1);
    io.run();
    CHECK(plugin.calls == 0);
    CHECK(::fcntl(pipe.read.get(), F_GETFD) >= 0);
}

TEST_CASE("a watch that cannot be is refused")
{
    asio::io_context io;
    fakes::LogLines lines;
    const Host host(io, "x", options(lines));
    const mp_host* abi = host.abi();
    std::uint32_t id = 0;
    const Pipe pipe;
    CHECK(abi->watch_fd(abi, -1, MP_FD_READ, &Plugin::on_events, nullptr, &id) == MP_E_INVALID);
    CHECK(abi->watch_fd(abi, pipe.read.get(), 0, &Plugin::on_events, nullptr, &id) == MP_E_INVALID);
    CHECK(abi->watch_fd(abi, pipe.read.get(), 64, &Plugin::on_events, nullptr, &id) ==
          MP_E_INVALID);
    CHECK(abi->watch_fd(abi, pipe.read.get(), MP_FD_READ, nullptr, nullptr, &id) == MP_E_INVALID);
    const UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
    CHECK(abi->watch_fd(abi, file.get(), MP_FD_READ, &Plugin::on_events, nullptr, &id) ==
          MP_E_UNSUPPORTED);
    abi->unwatch_fd(abi, 4711);
}
