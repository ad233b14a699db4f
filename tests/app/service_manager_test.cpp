// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/service_manager.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/unique_fd.hpp"
#include "fakes/temporary_folder.hpp"

using namespace mediaproxy;

#if MEDIAPROXYD_HAS_SYSTEMD

namespace
{

/// What systemd would listen on.
class NotifySocket
{
public:
    NotifySocket() : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0))
    {
        const std::string path = folder_ / "notify";
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
        REQUIRE(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
        ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
    }
    ~NotifySocket() { ::unsetenv("NOTIFY_SOCKET"); }
    NotifySocket(const NotifySocket&) = delete;
    NotifySocket& operator=(const NotifySocket&) = delete;

    std::string next() const
    {
        std::array<char, 512> buffer{};
        const ssize_t size = ::recv(fd_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        return {buffer.data(), size > 0 ? static_cast<std::size_t>(size) : 0};
    }

private:
    fakes::TemporaryFolder folder_;
    UniqueFd fd_;
};

} // namespace

TEST_CASE("systemd hears that we serve, that the loop turns, and that we stop")
{
    const NotifySocket socket;
    ::setenv("WATCHDOG_USEC", "20000", 1);
    ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
    asio::io_context io;
    app::ServiceManager manager(io, [] { return std::string("2 relays"); });
    manager.ready();
    CHECK(socket.next() == "READY=1\nSTATUS=2 relays");
    CHECK(socket.next() == "WATCHDOG=1");
    io.run_one_for(Seconds{5});
    CHECK(socket.next() == "WATCHDOG=1");
    manager.stopping();
    CHECK(socket.next() == "STOPPING=1\nSTATUS=stopping, 2 relays");
    ::unsetenv("WATCHDOG_USEC");
    ::unsetenv("WATCHDOG_PID");
}

#endif

TEST_CASE("without systemd nobody is told anything")
{
    ::unsetenv("NOTIFY_SOCKET");
    asio::io_context io;
    app::ServiceManager manager(io, [] { return std::string(); });
    manager.ready();
    manager.stopping();
    CHECK(io.poll() <= 1);
}
