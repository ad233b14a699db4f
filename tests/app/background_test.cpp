// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/background.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <sys/wait.h>
#include <unistd.h>

using namespace mediaproxy;

namespace
{

struct Outcome {
    int status;
    std::string said; ///< on standard error
};

/// Lets a child go into the background and do `then` there; how the child ended.
template <class Then>
Outcome outcome_of(Then then)
{
    std::array<int, 2> ends{};
    REQUIRE(::pipe(ends.data()) == 0);
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        ::dup2(ends[1], STDERR_FILENO);
        ::close(ends[0]);
        ::close(ends[1]);
        auto background = app::Background::enter();
        if (background)
            then(*background);
        ::_exit(0);
    }
    ::close(ends[1]);
    Outcome outcome{};
    std::array<char, 512> buffer{};
    for (ssize_t size = 0; (size = ::read(ends[0], buffer.data(), buffer.size())) > 0;)
        outcome.said.append(buffer.data(), static_cast<std::size_t>(size));
    ::close(ends[0]);
    ::waitpid(child, &outcome.status, 0);
    return outcome;
}

} // namespace

TEST_CASE("the first process ends well when the daemon serves")
{
    const Outcome outcome = outcome_of([](app::Background& background) { background.ready(); });
    CHECK(WIFEXITED(outcome.status));
    CHECK(WEXITSTATUS(outcome.status) == 0);
    CHECK(outcome.said.empty());
}

TEST_CASE("the first process says why the daemon failed, and fails too")
{
    const Outcome outcome =
        outcome_of([](app::Background& background) { background.failed("no socket"); });
    CHECK(WEXITSTATUS(outcome.status) == 1);
    CHECK(outcome.said == "mediaproxyd: no socket\n");
}

TEST_CASE("a daemon that dies before it serves is a failure")
{
    const Outcome outcome = outcome_of([](app::Background&) { ::_exit(0); });
    CHECK(WEXITSTATUS(outcome.status) == 1);
    CHECK_THAT(outcome.said, Catch::Contains("ended before it served"));
}
