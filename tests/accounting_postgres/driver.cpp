// SPDX-License-Identifier: GPL-2.0-or-later
#include <arpa/inet.h>
#include <catch2/catch.hpp>
#include <chrono>
#include <sys/socket.h>
#include <thread>
#include <unistd.h>

#include "accounting_postgres/driver.hpp"

using namespace mediaproxy::accounting_postgres;
using mediaproxy::plugin_support::Fault;

namespace
{

/// Takes connections and says nothing.
class SilentServer
{
public:
    SilentServer()
    {
        address_.sin_family = AF_INET;
        address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t size = sizeof address_;
        auto* address = reinterpret_cast<sockaddr*>(&address_);
        REQUIRE(::bind(socket_, address, size) == 0);
        REQUIRE(::listen(socket_, 5) == 0);
        REQUIRE(::getsockname(socket_, address, &size) == 0);
    }
    ~SilentServer() { ::close(socket_); }
    SilentServer(const SilentServer&) = delete;
    SilentServer& operator=(const SilentServer&) = delete;

    Options options() const
    {
        Options options;
        options.server.address.host = "127.0.0.1";
        options.server.address.port = ntohs(address_.sin_port);
        options.server.address.user = "me";
        options.server.address.password = "secret";
        options.server.address.database = "calls";
        return options;
    }

private:
    int socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address_{};
};

} // namespace

TEST_CASE("SQLSTATE says whose fault a failure is")
{
    CHECK(to_fault("23505") == Fault::duplicate);
    CHECK(to_fault("22001") == Fault::record);
    CHECK(to_fault("22P05") == Fault::record);
    CHECK(to_fault("54000") == Fault::record);
    // A trigger of the operator's, or a function that it calls, says no.
    for (const char* state : {"P0001", "P0004", "21000", "38000", "39P01"})
        CHECK(to_fault(state) == Fault::record);
    CHECK(to_fault("42P01") == Fault::no_table);
    for (const char* state : {"42501", "42703", "25006", "28P01", "3D000", "23502"})
        CHECK(to_fault(state) == Fault::refused);
    for (const char* state : {"57014", "57P01", "40001", "53100", "08006", "55P03", "", "XX000"})
        CHECK(to_fault(state) == Fault::unavailable);
}

TEST_CASE("a server that says nothing is given up at the timeout, without the password in the log")
{
    const SilentServer server;
    Options options = server.options();
    options.server.connect_timeout = std::chrono::milliseconds(50);
    Driver driver(options);
    const auto outcome = driver.connect();
    CHECK(outcome.fault == Fault::unavailable);
    CHECK(outcome.message == "no answer in time");
    CHECK(driver.place() ==
          "postgres://127.0.0.1:" + std::to_string(options.server.address.port) + "/calls");
}

TEST_CASE("cancel ends a wait, and every later one before it begins")
{
    const SilentServer server;
    Options options = server.options();
    options.server.connect_timeout = std::chrono::hours(1);
    Driver driver(options);
    std::thread other([&] { driver.cancel(); });
    CHECK(driver.connect().message == "cancelled");
    other.join();
    CHECK(driver.connect().message == "cancelled");
}

TEST_CASE("without a connection nothing is run, and a transaction ends quietly")
{
    Driver driver{Options{}};
    REQUIRE(driver.begin().ok());
    CHECK(driver.run("SELECT 1", {}, nullptr).fault == Fault::unavailable);
    driver.rollback();
    CHECK(driver.commit().ok());
}
