// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <memory>
#include <optional>
#include <vector>

#include "dispatcher/management_connection.hpp"
#include "dispatcher/tcp_listener.hpp"
#include "dispatcher/unix_acceptor.hpp"

namespace mediaproxy::dispatcher
{

/// The management interface: over TCP, plain or TLS, and on a UNIX socket when one is configured.
/// [core thread]
class ManagementServer
{
public:
    /// `socket_path` is absolute, or empty.
    static Result<std::unique_ptr<ManagementServer>>
    open(asio::io_context& io, const Options::Management& options, const std::string& socket_path,
         const UnixListener::Access& access, std::shared_ptr<tls::Context> context,
         ManagementConnection::Settings settings, const RelayPool& pool);
    ~ManagementServer();

    void start();
    void stop();
    std::vector<net::Endpoint> endpoints() const { return door_->endpoints(); }

private:
    ManagementServer(asio::io_context& io, const Options::Management& options,
                     std::shared_ptr<tls::Context> context, ManagementConnection::Settings settings,
                     const RelayPool& pool);
    void on_accepted(asio::ip::tcp::socket socket);
    std::shared_ptr<ManagementConnection> add();

    asio::io_context& io_;
    std::shared_ptr<tls::Context> context_;
    tls::Passport passport_;
    ManagementConnection::Settings settings_;
    const RelayPool& pool_;
    std::unique_ptr<TcpListener> door_;
    std::optional<UnixAcceptor> unix_door_;
    std::vector<std::shared_ptr<ManagementConnection>> connections_;
};

} // namespace mediaproxy::dispatcher
