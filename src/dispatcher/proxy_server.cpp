// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/proxy_server.hpp"

#include <asio/post.hpp>
#include <utility>

#include "dispatcher/proxy_connection.hpp"
#include "protocol/reply.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

constexpr std::uint64_t place_mask = 0xffff'ffff;

} // namespace

/// In the upper half as much of the generation as there is room for.
SocketPoller::Key ProxyServer::key_of(const Ticket& connection) noexcept
{
    return connection.generation << 32U | connection.connection;
}

ProxyServer::ProxyServer(asio::io_context& io, UnixListener listener, Milliseconds deadline,
                         ProxyHandler& handler)
    : io_(io), handler_(handler), poller_(io),
      door_(io, "control socket", std::move(listener),
            [this](UniqueFd socket) { add(std::move(socket)); }),
      deadlines_(io, deadline, [this](const Ticket& ticket) { on_due(ticket); })
{
}

ProxyServer::~ProxyServer()
{
    for (const auto& connection : std::exchange(connections_, {})) {
        if (connection)
            connection->close();
    }
}

Result<void> ProxyServer::open()
{
    auto opened = poller_.start(*this);
    if (opened)
        return opened;
    return Error{opened.error().code, "control socket: " + opened.error().message};
}

void ProxyServer::start()
{
    door_.start();
}

void ProxyServer::stop_listening()
{
    door_.stop();
    for (const auto& connection : connections_) {
        if (connection)
            connection->stop_reading();
    }
}

void ProxyServer::add(UniqueFd socket)
{
    if (free_places_.empty()) {
        free_places_.push_back(static_cast<std::uint32_t>(connections_.size()));
        connections_.emplace_back();
    }
    const std::uint32_t place = free_places_.back();
    free_places_.pop_back();
    connections_[place] = std::make_shared<ProxyConnection>(*this, std::move(socket),
                                                            Ticket{place, 0, ++last_generation_});
    connections_[place]->start();
}

void ProxyServer::on_ready(SocketPoller::Key key, std::uint32_t events)
{
    in_turn_ = true;
    const auto place = static_cast<std::size_t>(key & place_mask);
    ProxyConnection* const connection =
        place < connections_.size() ? connections_[place].get() : nullptr;
    // Another may have its place by now.
    if (connection && key_of(connection->ticket()) == key)
        connection->on_ready(events);
}

void ProxyServer::on_turn_end()
{
    in_turn_ = false;
    send_answers();
}

void ProxyServer::send_later(Ticket connection)
{
    unsent_.push_back(connection);
    if (in_turn_ || std::exchange(send_posted_, true))
        return;
    asio::post(io_, [this, alive = std::weak_ptr<bool>(alive_)] {
        if (!alive.expired())
            send_answers();
    });
}

void ProxyServer::send_answers()
{
    send_posted_ = false;
    sending_.swap(unsent_);
    for (const Ticket& ticket : sending_) {
        if (ProxyConnection* const connection = find(ticket))
            connection->send_answers();
    }
    sending_.clear();
}

ProxyConnection* ProxyServer::find(Ticket ticket) const noexcept
{
    if (ticket.connection >= connections_.size())
        return nullptr;
    ProxyConnection* const connection = connections_[ticket.connection].get();
    return connection && connection->ticket().generation == ticket.generation ? connection
                                                                              : nullptr;
}

void ProxyServer::answer(Ticket ticket, std::string_view line)
{
    if (ProxyConnection* const connection = find(ticket))
        connection->answer(ticket.number, line);
}

void ProxyServer::remember(Ticket ticket, std::uint64_t matter)
{
    if (ProxyConnection* const connection = find(ticket))
        connection->remember(ticket.number, matter);
}

bool ProxyServer::is_open(Ticket ticket) const noexcept
{
    const ProxyConnection* const connection = find(ticket);
    return connection && connection->matter_of(ticket.number);
}

void ProxyServer::on_due(Ticket ticket)
{
    const ProxyConnection* const connection = find(ticket);
    const std::uint64_t* const matter = connection ? connection->matter_of(ticket.number) : nullptr;
    if (!matter)
        return;
    handler_.on_late(ticket, *matter);
    answer(ticket, protocol::answer_error);
}

void ProxyServer::on_closed(ProxyConnection& connection)
{
    const std::uint32_t place = connection.ticket().connection;
    if (place >= connections_.size() || connections_[place].get() != &connection)
        return;
    // The caller may be one of its members.
    asio::post(io_, [gone = std::move(connections_[place])] {});
    free_places_.push_back(place);
}

} // namespace mediaproxy::dispatcher
