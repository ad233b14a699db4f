// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <functional>
#include <optional>
#include <string>

#include "tls/link.hpp"

/// Remembers what a link told its owner.
struct RecordingOwner : mediaproxy::tls::Link::Owner {
    void on_open() override { opened = true; }
    void on_bytes(std::string_view bytes) override
    {
        received.append(bytes);
        if (received_some)
            received_some();
    }
    void on_close(const mediaproxy::Error& why) override { closed = why; }

    bool opened = false;
    std::string received;
    std::optional<mediaproxy::Error> closed;
    std::function<void()> received_some;
};

/// Two connected TCP sockets on loopback and what runs them.
struct SocketPair {
    SocketPair()
    {
        asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
        client.connect(acceptor.local_endpoint());
        acceptor.accept(server);
    }

    /// Runs the loop until `done` or for ten seconds.
    template <class Done>
    bool run_until(Done done)
    {
        const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
        io.restart();
        while (!done() && std::chrono::steady_clock::now() < end)
            io.run_one_for(std::chrono::milliseconds(50));
        return done();
    }

    asio::io_context io{1};
    asio::ip::tcp::socket client{io}, server{io};
};
