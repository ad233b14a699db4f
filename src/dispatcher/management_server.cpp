// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/management_server.hpp"

#include <algorithm>

#include "base/log.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

constexpr std::size_t most_clients = 128;

} // namespace

ManagementServer::ManagementServer(asio::io_context& io, const Options::Management& options,
                                   std::shared_ptr<tls::Context> context,
                                   ManagementConnection::Settings settings, const RelayPool& pool)
    : io_(io), context_(std::move(context)), passport_(options.passport),
      settings_(std::move(settings)), pool_(pool)
{
}

ManagementServer::~ManagementServer()
{
    stop();
}

Result<std::unique_ptr<ManagementServer>>
ManagementServer::open(asio::io_context& io, const Options::Management& options,
                       const std::string& socket_path, const UnixListener::Access& access,
                       std::shared_ptr<tls::Context> context,
                       ManagementConnection::Settings settings, const RelayPool& pool)
{
    std::unique_ptr<ManagementServer> server(
        new ManagementServer(io, options, std::move(context), std::move(settings), pool));
    auto door = TcpListener::open(io, "management interface", options.listen,
                                  [self = server.get()](asio::ip::tcp::socket socket) {
                                      self->on_accepted(std::move(socket));
                                  });
    if (!door)
        return door.error();
    server->door_ = std::move(*door);
    if (socket_path.empty())
        return server;
    auto listener = UnixListener::open(socket_path, access);
    if (!listener)
        return Error{listener.error().code, "management interface: " + listener.error().message};
    server->unix_door_.emplace(
        io, "management interface", std::move(*listener), [self = server.get()](UniqueFd socket) {
            if (const auto connection = self->add())
                connection->use(UnixStream::start(self->io_, std::move(socket), *connection));
        });
    return server;
}

void ManagementServer::start()
{
    door_->start();
    if (unix_door_)
        unix_door_->start();
}

void ManagementServer::stop()
{
    if (door_)
        door_->stop();
    if (unix_door_)
        unix_door_->stop();
    for (const auto& connection : std::exchange(connections_, {}))
        connection->close();
}

std::shared_ptr<ManagementConnection> ManagementServer::add()
{
    if (connections_.size() >= most_clients) {
        log::warning("management interface: {} clients, one more refused", connections_.size());
        return nullptr;
    }
    auto connection = std::make_shared<ManagementConnection>(
        io_, pool_, settings_, [this](ManagementConnection& gone) {
            std::erase_if(connections_, [&](const auto& entry) { return entry.get() == &gone; });
        });
    connections_.push_back(connection);
    return connection;
}

void ManagementServer::on_accepted(asio::ip::tcp::socket socket)
{
    if (const auto connection = add())
        connection->use(tls::Link::start(std::move(socket), tls::Link::Side::server, context_,
                                         passport_, *connection));
}

} // namespace mediaproxy::dispatcher
