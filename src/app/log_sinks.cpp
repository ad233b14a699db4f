// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/log_sinks.hpp"

#include <chrono>
#include <cstdlib>
#include <ctime>
#include <fmt/format.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

namespace mediaproxy::app
{

namespace
{

int priority(log::Level level) noexcept
{
    switch (level) {
    case log::Level::critical:
        return LOG_CRIT;
    case log::Level::error:
        return LOG_ERR;
    case log::Level::warning:
        return LOG_WARNING;
    case log::Level::info:
        return LOG_INFO;
    case log::Level::debug:
        return LOG_DEBUG;
    }
    return LOG_INFO;
}

/// One write, so that lines of several processes do not mix. A log that nobody reads any more is
/// no reason to stop.
void write_line(std::string_view line)
{
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, line.data(), line.size());
}

std::string local_time()
{
    const auto now = std::chrono::system_clock::now();
    const std::time_t seconds = std::chrono::system_clock::to_time_t(now);
    const auto fraction =
        std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count() %
        1000;
    std::tm parts{};
    ::localtime_r(&seconds, &parts);
    return fmt::format("{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{:03}", parts.tm_year + 1900,
                       parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
                       fraction);
}

} // namespace

std::string_view to_string(log::Level level) noexcept
{
    switch (level) {
    case log::Level::critical:
        return "CRITICAL";
    case log::Level::error:
        return "ERROR";
    case log::Level::warning:
        return "WARNING";
    case log::Level::info:
        return "INFO";
    case log::Level::debug:
        return "DEBUG";
    }
    return "";
}

log::Sink standard_error_sink()
{
    return [](log::Level level, std::string_view line) {
        write_line(fmt::format("{} {:<8} {}\n", local_time(), to_string(level), line));
    };
}

log::Sink journal_sink()
{
    return [](log::Level level, std::string_view line) {
        write_line(fmt::format("<{}>{}\n", priority(level), line));
    };
}

log::Sink syslog_sink()
{
    ::openlog("mediaproxyd", LOG_PID | LOG_NDELAY, LOG_DAEMON);
    return [](log::Level level, std::string_view line) {
        ::syslog(priority(level), "%.*s", static_cast<int>(line.size()), line.data());
    };
}

bool logs_to_journal()
{
    const char* const stream = std::getenv("JOURNAL_STREAM");
    struct stat status {
    };
    if (stream == nullptr || ::fstat(STDERR_FILENO, &status) != 0)
        return false;
    return fmt::format("{}:{}", status.st_dev, status.st_ino) == stream;
}

log::Sink choose_sink(config::LogTarget target, CommandLine::Place place)
{
    switch (target) {
    case config::LogTarget::standard_error:
        return standard_error_sink();
    case config::LogTarget::journal:
        return journal_sink();
    case config::LogTarget::syslog:
        return syslog_sink();
    case config::LogTarget::automatic:
        break;
    }
    if (place == CommandLine::Place::background)
        return syslog_sink();
    return logs_to_journal() ? journal_sink() : standard_error_sink();
}

} // namespace mediaproxy::app
