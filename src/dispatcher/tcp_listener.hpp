// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "net/endpoint.hpp"

namespace mediaproxy::dispatcher
{

/// Listening TCP sockets that hand over what they accept. When descriptors run out it waits a
/// moment instead of spinning. An endpoint without an address takes IPv4 and IPv6; [::] takes IPv6
/// alone, so that 0.0.0.0 can have the same port. [core thread]
class TcpListener
{
public:
    using Accepted = std::function<void(asio::ip::tcp::socket)>;
    /// `name` is for the log. The error names the address that cannot be bound.
    static Result<std::unique_ptr<TcpListener>> open(asio::io_context& io, std::string name,
                                                     const std::vector<net::Endpoint>& endpoints,
                                                     Accepted accepted);
    void start();
    void stop();
    /// Where it really listens, for ports that were chosen by the system.
    std::vector<net::Endpoint> endpoints() const;

private:
    struct Door {
        asio::ip::tcp::acceptor acceptor;
        asio::steady_timer pause;
        bool complained = false;
    };
    TcpListener(std::string name, Accepted accepted);
    Result<void> add(asio::io_context& io, const net::Endpoint& endpoint);
    void accept(Door& door);
    void pause(Door& door, const asio::error_code& reason);

    std::string name_;
    Accepted accepted_;
    std::vector<std::unique_ptr<Door>> doors_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); ///< asked by a handler in flight
};

} // namespace mediaproxy::dispatcher
