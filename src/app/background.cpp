// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/background.hpp"

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <string>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace mediaproxy::app
{

namespace
{

constexpr char serving = '+', failing = '-';

void write_all(int fd, std::string_view bytes)
{
    while (!bytes.empty()) {
        const ssize_t written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return;
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
}

std::string read_all(int fd)
{
    std::string bytes;
    std::array<char, 1024> buffer;
    for (;;) {
        const ssize_t count = ::read(fd, buffer.data(), buffer.size());
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return bytes;
        bytes.append(buffer.data(), static_cast<std::size_t>(count));
        if (bytes[0] == serving)
            return bytes;
    }
}

/// The first process: ends as the daemon's start did.
[[noreturn]] void end_like(int report)
{
    std::string said = read_all(report);
    if (!said.empty() && said[0] == serving)
        ::_exit(EXIT_SUCCESS);
    if (said.empty())
        said = "-the daemon ended before it served; see its log";
    write_all(STDERR_FILENO, "mediaproxyd: " + said.substr(1) + "\n");
    ::_exit(EXIT_FAILURE);
}

Error failure(std::string_view what)
{
    return Error{Error::Code::io, std::string(what) + ": " + std::strerror(errno)};
}

} // namespace

Result<Background> Background::enter()
{
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0)
        return failure("pipe");
    UniqueFd reading(ends[0]), writing(ends[1]);

    const pid_t child = ::fork();
    if (child < 0)
        return failure("fork");
    if (child > 0) {
        writing.reset();
        ::waitpid(child, nullptr, 0);
        end_like(reading.get());
    }
    reading.reset();
    ::setsid();
    const pid_t daemon = ::fork();
    if (daemon < 0)
        return failure("fork");
    if (daemon > 0)
        ::_exit(EXIT_SUCCESS);
    ::umask(022);
    if (::chdir("/") != 0)
        return failure("/");
    return Background(std::move(writing));
}

void Background::ready()
{
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        ::dup2(null.get(), fd);
    write_all(report_.get(), {&serving, 1});
    report_.reset();
}

void Background::failed(std::string_view why)
{
    write_all(report_.get(), failing + std::string(why));
    report_.reset();
}

} // namespace mediaproxy::app
