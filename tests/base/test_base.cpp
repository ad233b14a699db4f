// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include <algorithm>
#include <asio/io_context.hpp>
#include <cerrno>
#include <sched.h>
#include <stdexcept>
#include <string>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <thread>
#include <unistd.h>
#include <vector>

#include "base/log.hpp"
#include "base/result.hpp"
#include "base/socket_poller.hpp"
#include "base/text.hpp"
#include "base/thread.hpp"
#include "base/unique_fd.hpp"

using namespace mediaproxy;

TEST_CASE("a result holds a value or the reason why there is none")
{
    const Result<int> good = 7;
    const Result<int> bad = invalid("not a port: x");
    CHECK(good);
    CHECK(*good == 7);
    CHECK_FALSE(bad);
    CHECK(bad.error().message == "not a port: x");
    CHECK(bad.value_or(3) == 3);
    CHECK(Result<void>{});
    CHECK_FALSE(Result<void>{invalid("x")});
}

TEST_CASE("a number is the whole text or nothing")
{
    CHECK(text::parse_number<std::uint16_t>("65535") == 65535);
    for (const char* bad : {"", "-1", "+1", " 1", "1 ", "65536", "0x10", "1.0", "99999999999999"})
        CHECK_FALSE(text::parse_number<std::uint16_t>(bad));
}

TEST_CASE("the nearest word is offered only when it is near")
{
    const std::string_view known[] = {"relay_ip", "advertised_ip", "port_range"};
    CHECK(text::nearest("relay_pi", known) == "relay_ip");
    CHECK(text::nearest("advertized_ip", known) == "advertised_ip");
    CHECK(text::nearest("something_else", known).empty());
}

TEST_CASE("what a stranger sent becomes fit for a log line")
{
    CHECK(text::printable("a\r\nb") == "a\\x0d\\x0ab");
    CHECK(text::printable("j\xc3\xbcrgen") == "j\xc3\xbcrgen");
    CHECK(text::printable("\xff\xfe") == "\\xff\\xfe");
    CHECK(text::printable("abcdef", 3) == "abc...");
}

TEST_CASE("UTF-8 is judged as RFC 3629 says")
{
    CHECK(text::is_utf8("plain"));
    CHECK(text::is_utf8("\xe2\x82\xac \xf0\x9f\x98\x80"));
    for (const char* bad : {"\x80", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                            "\xf8\x88\x80\x80\x80", "\xc3"})
        CHECK_FALSE(text::is_utf8(bad));
}

TEST_CASE("text is split and trimmed")
{
    using Parts = std::vector<std::string_view>;
    CHECK(text::split("a,,b", ',') == Parts{"a", "", "b"});
    CHECK(text::split("", ',') == Parts{""});
    CHECK(text::trim("  a b\t\r\n") == "a b");
    CHECK(text::trim(" \t").empty());
}

TEST_CASE("the log passes on what its level lets through")
{
    std::vector<std::string> lines;
    log::set_sink([&](log::Level, std::string_view line) { lines.emplace_back(line); });
    log::set_level(log::Level::warning);
    log::warning("relay {}: {}", "r1", "lost");
    log::info("not this one");
    log::set_level(log::Level::info);
    log::set_sink({});
    CHECK(lines == std::vector<std::string>{"relay r1: lost"});
}

TEST_CASE("work that can be done later gives way, that of its thread alone")
{
    const auto nice_of_a_thread = [](Urgency urgency) {
        int nice = -100;
        std::thread([&] {
            begin_thread("test", urgency);
            nice = ::getpriority(PRIO_PROCESS, 0);
        }).join();
        return nice;
    };
    const int given = ::getpriority(PRIO_PROCESS, 0);
    CHECK(nice_of_a_thread(Urgency::awaited) == given);
    CHECK(nice_of_a_thread(Urgency::soon) == std::max(given, 10));
    CHECK(nice_of_a_thread(Urgency::later) == 19);
    CHECK(::getpriority(PRIO_PROCESS, 0) == given);
}

TEST_CASE("a thread that is realtime starts others that are not")
{
    int refused = -1, policy = -1, policy_of_other = -1;
    std::thread([&] {
        refused = enter_realtime();
        policy = ::sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
        std::thread([&] { policy_of_other = ::sched_getscheduler(0); }).join();
    }).join();
    CHECK(policy == (refused == 0 ? SCHED_RR : SCHED_OTHER));
    CHECK((refused == 0 || refused == EPERM)); // as whoever runs this may
    CHECK(policy_of_other == SCHED_OTHER);
    CHECK(::sched_getscheduler(0) == SCHED_OTHER);
}

TEST_CASE("what escapes a reader of sockets ends its turn, not the reading")
{
    struct Thrower : SocketPoller::Reader {
        void on_ready(SocketPoller::Key, std::uint32_t) override
        {
            if (++turns == 1)
                throw std::runtime_error("once");
        }
        void on_turn_end() override {}
        int turns = 0;
    } reader;
    asio::io_context io;
    SocketPoller poller(io);
    REQUIRE(poller.start(reader));
    const UniqueFd ready(::eventfd(1, EFD_CLOEXEC));
    REQUIRE(poller.add(ready.get(), 1));
    CHECK_THROWS_AS(io.run_one(), std::runtime_error);
    CHECK(io.run_one_for(std::chrono::seconds(10)) == 1);
    CHECK(reader.turns == 2);
}
