// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/relay_server.hpp"

#include <algorithm>
#include <asio/post.hpp>
#include <fmt/format.h>

#include "base/log.hpp"
#include "base/text.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

/// More connections than that which say nothing are not relays.
constexpr std::size_t most_strangers = 256;

/// Not the relay of that connection come back, but one that has its name by mistake: each would be
/// asked for the other's calls, and they would be lost. One that was started without its store is
/// a stranger, too: until the old connection is known to be dead.
bool is_namesake(const RelayLink& link, const RelayLink& old)
{
    return !link.instance().empty() && !old.instance().empty() &&
           link.instance() != old.instance() && !old.is_silent();
}

} // namespace

RelayServer::RelayServer(asio::io_context& io, std::shared_ptr<tls::Context> context,
                         RelayLink::Settings settings, Listener& listener)
    : io_(io), context_(std::move(context)), settings_(std::move(settings)), listener_(listener)
{
}

RelayServer::~RelayServer() = default;

Result<std::unique_ptr<RelayServer>> RelayServer::open(asio::io_context& io,
                                                       const std::vector<net::Endpoint>& endpoints,
                                                       std::shared_ptr<tls::Context> context,
                                                       RelayLink::Settings settings,
                                                       Listener& listener)
{
    std::unique_ptr<RelayServer> server(
        new RelayServer(io, std::move(context), std::move(settings), listener));
    auto door = TcpListener::open(io, "relay listener", endpoints,
                                  [self = server.get()](asio::ip::tcp::socket socket) {
                                      self->on_accepted(std::move(socket));
                                  });
    if (!door)
        return door.error();
    server->door_ = std::move(*door);
    return server;
}

void RelayServer::on_accepted(asio::ip::tcp::socket socket)
{
    if (strangers_ >= most_strangers) {
        log::warning("relay listener: {} connections have not said who they are: one more refused",
                     strangers_);
        return;
    }
    auto link = std::make_unique<RelayLink>(io_, std::move(socket), context_, settings_, *this);
    ++strangers_;
    links_.emplace(link.get(), std::move(link));
}

void RelayServer::on_relay_known(RelayLink& link)
{
    --strangers_;
    const auto old = std::find_if(links_.begin(), links_.end(), [&](const auto& entry) {
        return entry.first != &link && entry.first->known() && entry.first->name() == link.name();
    });
    if (old == links_.end() && listener_.has_relay(link.name()))
        return refuse(link, "the one in this process");
    if (old != links_.end() && is_namesake(link, *old->first))
        return refuse(link, "the one at " + old->first->address().to_string());
    if (old != links_.end()) {
        log::warning("relay {}: a new connection from {} replaces the old one from {}", link.name(),
                     link.address().to_string(), old->first->address().to_string());
        drop(*old->first, Error{Error::Code::unavailable, "replaced by a new connection"});
    }
    listener_.on_connected(link);
}

void RelayServer::refuse(RelayLink& link, const std::string& namesake)
{
    const std::string sentence =
        fmt::format("relay {} at {} is refused: {} is another relay of that name; each needs its "
                    "own, see [relay] name",
                    text::printable(link.name(), 80), link.address().to_string(), namesake);
    if (std::exchange(refused_, sentence) != sentence)
        log::error("{}", sentence);
    drop(link, Error{Error::Code::denied, "another relay has that name"});
}

void RelayServer::on_relay_gone(RelayLink& link, const Error& why)
{
    const auto found = links_.find(&link);
    if (found == links_.end())
        return;
    if (link.known())
        log::warning("relay {}: connection lost: {}", link.name(), why.message);
    else
        log::warning("relay listener: {}", why.message);
    drop(link, why);
}

void RelayServer::drop(RelayLink& link, const Error& why)
{
    const auto found = links_.find(&link);
    auto gone = std::move(found->second);
    links_.erase(found);
    link.close();
    if (link.known())
        listener_.on_disconnected(link);
    else
        --strangers_;
    link.fail_all(why);
    // The caller may be one of its members.
    asio::post(io_, [gone = std::shared_ptr<RelayLink>(std::move(gone))] {});
}

void RelayServer::close_all()
{
    while (!links_.empty())
        drop(*links_.begin()->first, Error{Error::Code::unavailable, "the dispatcher stops"});
}

void RelayServer::on_relay_expired(RelayLink& link, protocol::SessionReport&& report)
{
    listener_.on_expired(link, std::move(report));
}

} // namespace mediaproxy::dispatcher
