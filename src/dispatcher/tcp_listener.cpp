// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/tcp_listener.hpp"

#include <asio/error.hpp>
#include <asio/ip/v6_only.hpp>

#include "base/log.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

constexpr std::chrono::milliseconds accept_pause{100};

asio::ip::tcp::endpoint to_asio(const net::Endpoint& endpoint)
{
    const auto& bytes = endpoint.address.bytes();
    if (endpoint.address.is_v6())
        return {asio::ip::address_v6(bytes), endpoint.port};
    if (endpoint.address.is_v4())
        return {asio::ip::address_v4({bytes[0], bytes[1], bytes[2], bytes[3]}), endpoint.port};
    return {asio::ip::tcp::v6(), endpoint.port};
}

net::Endpoint from_asio(const asio::ip::tcp::endpoint& endpoint)
{
    if (endpoint.address().is_v4())
        return {net::Address::v4(endpoint.address().to_v4().to_bytes()), endpoint.port()};
    return {net::Address::v6(endpoint.address().to_v6().to_bytes()), endpoint.port()};
}

} // namespace

TcpListener::TcpListener(std::string name, Accepted accepted)
    : name_(std::move(name)), accepted_(std::move(accepted))
{
}

Result<std::unique_ptr<TcpListener>> TcpListener::open(asio::io_context& io, std::string name,
                                                       const std::vector<net::Endpoint>& endpoints,
                                                       Accepted accepted)
{
    std::unique_ptr<TcpListener> listener(new TcpListener(std::move(name), std::move(accepted)));
    for (const net::Endpoint& endpoint : endpoints) {
        if (auto added = listener->add(io, endpoint); !added)
            return added.error();
    }
    return listener;
}

Result<void> TcpListener::add(asio::io_context& io, const net::Endpoint& endpoint)
{
    auto door =
        std::make_unique<Door>(Door{asio::ip::tcp::acceptor(io), asio::steady_timer(io), false});
    asio::ip::tcp::endpoint wanted = to_asio(endpoint);
    asio::error_code error;
    door->acceptor.open(wanted.protocol(), error);
    if (error == asio::error::address_family_not_supported && !endpoint.address) {
        wanted = {asio::ip::tcp::v4(), endpoint.port}; // a kernel without IPv6
        door->acceptor.open(wanted.protocol(), error);
    }
    if (!error)
        door->acceptor.set_option(asio::ip::tcp::acceptor::reuse_address(true), error);
    if (!error && wanted.protocol() == asio::ip::tcp::v6())
        door->acceptor.set_option(asio::ip::v6_only(endpoint.address.is_v6()), error);
    if (!error)
        door->acceptor.bind(wanted, error);
    if (!error)
        door->acceptor.listen(asio::ip::tcp::acceptor::max_listen_connections, error);
    if (error)
        return Error{error == asio::error::access_denied ? Error::Code::denied : Error::Code::io,
                     name_ + ": cannot listen on " + from_asio(wanted).to_string() + ": " +
                         error.message()};
    doors_.push_back(std::move(door));
    return {};
}

void TcpListener::start()
{
    for (const auto& door : doors_)
        accept(*door);
}

void TcpListener::stop()
{
    for (const auto& door : doors_) {
        asio::error_code ignored;
        door->acceptor.close(ignored);
        door->pause.cancel();
    }
}

std::vector<net::Endpoint> TcpListener::endpoints() const
{
    std::vector<net::Endpoint> found;
    for (const auto& door : doors_) {
        asio::error_code ignored;
        found.push_back(from_asio(door->acceptor.local_endpoint(ignored)));
    }
    return found;
}

void TcpListener::accept(Door& door)
{
    door.acceptor.async_accept([this, &door, alive = std::weak_ptr<bool>(alive_)](
                                   const asio::error_code& error, asio::ip::tcp::socket socket) {
        if (error == asio::error::operation_aborted || alive.expired())
            return;
        if (error && error != asio::error::connection_aborted)
            return pause(door, error);
        accept(door); // first: whatever comes of this connection
        if (error)
            return;
        door.complained = false;
        accepted_(std::move(socket));
    });
}

void TcpListener::pause(Door& door, const asio::error_code& reason)
{
    if (!std::exchange(door.complained, true))
        log::error("{}: cannot accept connections: {}", name_, reason.message());
    door.pause.expires_after(accept_pause);
    door.pause.async_wait(
        [this, &door, alive = std::weak_ptr<bool>(alive_)](const asio::error_code& error) {
            if (!error && !alive.expired() && door.acceptor.is_open())
                accept(door);
        });
}

} // namespace mediaproxy::dispatcher
