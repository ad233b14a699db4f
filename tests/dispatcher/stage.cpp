// SPDX-License-Identifier: GPL-2.0-or-later
#include "stage.hpp"

#include <arpa/inet.h>
#include <catch2/catch.hpp>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>

using namespace mediaproxy;

TemporaryFolder::TemporaryFolder()
{
    char pattern[] = "/tmp/dispatcher-test-XXXXXX";
    REQUIRE(::mkdtemp(pattern) != nullptr);
    path = pattern;
}

TemporaryFolder::~TemporaryFolder()
{
    std::error_code ignored;
    std::filesystem::remove_all(path, ignored);
}

Client Client::to_path(asio::io_context& io, const std::string& path)
{
    Client client(io);
    client.socket_.reset(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    const auto* const plain = reinterpret_cast<const sockaddr*>(&address);
    REQUIRE(::connect(client.socket_.get(), plain, sizeof address) == 0);
    return client;
}

Client Client::to_port(asio::io_context& io, net::Port port)
{
    Client client(io);
    client.socket_.reset(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const auto* const plain = reinterpret_cast<const sockaddr*>(&address);
    REQUIRE(::connect(client.socket_.get(), plain, sizeof address) == 0);
    const int on = 1;
    ::setsockopt(client.socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return client;
}

Client& Client::send(std::string_view bytes)
{
    while (!bytes.empty()) {
        const ssize_t sent =
            ::send(socket_.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN)
            break; // the other side has closed: the reader will see it
        if (sent > 0)
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        if (!bytes.empty())
            io_.poll();
    }
    return *this;
}

void Client::poll()
{
    char buffer[65536];
    for (;;) {
        const ssize_t size = ::recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (size == 0 || (size < 0 && errno != EAGAIN))
            ended_ = true;
        if (size <= 0)
            return;
        received_.append(buffer, static_cast<std::size_t>(size));
    }
}

std::string Client::until(std::string_view end)
{
    std::size_t at = std::string::npos;
    run_until(io_, [&] {
        poll();
        at = received_.find(end);
        return at != std::string::npos || ended_;
    });
    if (at == std::string::npos)
        return ended_ ? "(closed)" : "(nothing)";
    const std::string text = received_.substr(0, at + end.size());
    received_.erase(0, at + end.size());
    return text;
}

std::string Client::line()
{
    std::string text = until("\r\n");
    if (text.ends_with("\r\n"))
        text.resize(text.size() - 2);
    return text;
}

bool Client::closed()
{
    return run_until(io_, [&] {
        poll();
        return ended_;
    });
}

void Client::half_close()
{
    ::shutdown(socket_.get(), SHUT_WR);
}

std::string Message::text() const
{
    return "update\r\ntype: " + type + "\r\ndialog_id: " + dialog_id + "\r\ncall_id: " + call_id +
           "\r\ncseq: " + cseq + "\r\nfrom_uri: alice@example.com\r\nto_uri: bob@example.com" +
           "\r\nfrom_tag: " + from_tag + "\r\nto_tag: " + to_tag + "\r\nuser_agent: " + user_agent +
           "\r\nsignaling_ip: " + signaling_ip + "\r\nmedia_relay: " + media_relay +
           (media.empty() ? "" : "\r\nmedia: " + media) + "\r\n\r\n";
}

std::string remove_text(const std::string& call_id, const std::string& from_tag,
                        const std::string& to_tag)
{
    return "remove\r\ncall_id: " + call_id + "\r\nfrom_tag: " + from_tag + "\r\nto_tag: " + to_tag +
           "\r\n\r\n";
}

dispatcher::Options Stage::quick()
{
    dispatcher::Options options;
    options.name = "dispatcher-1";
    const net::Endpoint any_port{net::Address::v4({127, 0, 0, 1}), 0};
    options.listen = {any_port};
    options.request_deadline = Milliseconds{300};
    options.attempt_timeout = Milliseconds{60};
    options.relay_timeout = Seconds{1};
    options.relay_recover_interval = Seconds{1};
    options.management.listen = {any_port};
    options.management.use_tls = false;
    return options;
}

Stage::Stage(dispatcher::Options wanted, std::shared_ptr<tls::Context> context)
    : options(std::move(wanted)), tls(std::move(context))
{
    start();
}

Stage::~Stage()
{
    dispatcher.reset();
    io.restart();
    io.poll();
}

void Stage::start()
{
    dispatcher::Dispatcher::Environment environment{.io = io};
    environment.store = &store;
    environment.records = &sink;
    environment.runtime_dir = folder.path;
    environment.tls = tls;
    environment.version = "1.2.3";
    auto made = dispatcher::Dispatcher::create(options, std::move(environment));
    if (!made)
        FAIL(made.error().message);
    dispatcher = std::move(*made);
    dispatcher->start();
}

void Stage::stop()
{
    bool stopped = false;
    dispatcher->stop([&] { stopped = true; });
    REQUIRE(run_until([&] { return stopped; }));
    dispatcher.reset();
}

void Stage::restart()
{
    stop();
    start();
}

Client Stage::management()
{
    return Client::to_port(io, dispatcher->management_endpoints().at(0).port);
}
