// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/log_sinks.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fcntl.h>
#include <fmt/format.h>
#include <regex>
#include <sys/stat.h>
#include <unistd.h>

#include "base/unique_fd.hpp"

using namespace mediaproxy;

namespace
{

/// Standard error as a pipe while this lives.
class CapturedStandardError
{
public:
    CapturedStandardError() : before_(::dup(STDERR_FILENO))
    {
        std::array<int, 2> ends{};
        REQUIRE(::pipe(ends.data()) == 0);
        reading_.reset(ends[0]);
        ::dup2(ends[1], STDERR_FILENO);
        ::close(ends[1]);
    }
    ~CapturedStandardError() { ::dup2(before_.get(), STDERR_FILENO); }
    CapturedStandardError(const CapturedStandardError&) = delete;
    CapturedStandardError& operator=(const CapturedStandardError&) = delete;

    std::string read() const
    {
        std::array<char, 4096> buffer{};
        const ssize_t size = ::read(reading_.get(), buffer.data(), buffer.size());
        return {buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
    }

private:
    UniqueFd before_, reading_;
};

} // namespace

TEST_CASE("standard error gets time, level and line")
{
    const CapturedStandardError captured;
    app::standard_error_sink()(log::Level::warning, "a line");
    CHECK(std::regex_match(captured.read(),
                           std::regex("[0-9-]{10} [0-9:]{8}\\.[0-9]{3} WARNING  a line\n")));
}

TEST_CASE("the journal gets the priority in front of the line")
{
    const CapturedStandardError captured;
    app::journal_sink()(log::Level::error, "a line");
    CHECK(captured.read() == "<3>a line\n");
    app::journal_sink()(log::Level::debug, "b");
    CHECK(captured.read() == "<7>b\n");
}

TEST_CASE("the journal is known by the descriptor that systemd names")
{
    const CapturedStandardError captured;
    struct stat status {
    };
    REQUIRE(::fstat(STDERR_FILENO, &status) == 0);
    ::setenv("JOURNAL_STREAM", fmt::format("{}:{}", status.st_dev, status.st_ino).c_str(), 1);
    CHECK(app::logs_to_journal());
    app::choose_sink(config::LogTarget::automatic,
                     app::CommandLine::Place::foreground)(log::Level::info, "x");
    CHECK(captured.read() == "<6>x\n");
    ::setenv("JOURNAL_STREAM", "1:1", 1);
    CHECK_FALSE(app::logs_to_journal());
    ::unsetenv("JOURNAL_STREAM");
    CHECK_FALSE(app::logs_to_journal());
}
