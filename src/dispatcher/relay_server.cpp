// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/relay_server.hpp"

#include <algorithm>
#include <asio/post.hpp>
#include <fmt/format.h>
#include <tuple>

#include "base/log.hpp"
#include "base/text.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

/// More connections than that which say nothing are not relays.
constexpr std::size_t most_strangers = 256;
constexpr std::size_t most_complaints = 20; ///< about strangers in the log, for each reason
constexpr std::size_t most_reasons = 32;
constexpr Seconds complaints_interval{60};

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
    if (strangers_ >= most_strangers)
        make_room();
    auto link = std::make_unique<RelayLink>(io_, std::move(socket), context_, settings_, *this);
    links_.emplace(link.get(), std::move(link));
    ++strangers_;
}

/// Whoever cannot prove to be a relay may come as often as he likes: relays come in nevertheless,
/// and stay.
void RelayServer::make_room()
{
    const auto worth = [](const auto& entry) {
        const RelayLink& link = *entry.first;
        return std::tuple(link.known(), link.is_open(), link.accepted());
    };
    const auto least =
        std::min_element(links_.begin(), links_.end(), [&](const auto& one, const auto& other) {
            return worth(one) < worth(other);
        });
    complain(fmt::format("{}: closed, as {} connections have not said who they are",
                         least->first->address().to_string(), strangers_));
    drop(*least->first, Error{Error::Code::unavailable, "it has not said who it is"});
}

/// `about_stranger`: address and reason. A few a minute for each reason, as strangers can make
/// thousands: they shall not hide why a relay's certificate is refused.
void RelayServer::complain(const std::string& about_stranger)
{
    const TimePoint now = BootClock::now();
    if (now - complaints_since_ > complaints_interval) {
        for (const auto& [reason, times] : complaints_) {
            if (times > most_complaints)
                log::warning("relay listener: {} more connections: {}", times - most_complaints,
                             reason);
        }
        complaints_.clear();
        complaints_since_ = now;
    }
    const std::size_t end_of_address = about_stranger.find(": ");
    std::string reason = end_of_address == std::string::npos
                             ? about_stranger
                             : about_stranger.substr(end_of_address + 2);
    if (complaints_.size() >= most_reasons && !complaints_.contains(reason))
        reason = "for other reasons";
    if (++complaints_[reason] <= most_complaints)
        log::warning("relay listener: {}", about_stranger);
}

/// Not the relay of that connection come back, but one that has its name by mistake: each would be
/// asked for the other's calls, and they would be lost. One that was started without its store is
/// a stranger, too: until the old connection is known to be dead. And so is one that was cloned
/// with its store, which shows when a run comes back whose place another one took.
bool RelayServer::is_namesake(const RelayLink& link, const RelayLink& old) const
{
    if (link.instance().empty() || old.instance().empty() || old.is_silent())
        return false;
    const auto displaced = displaced_.find(link.name());
    return link.instance() != old.instance() ||
           (displaced != displaced_.end() && displaced->second == link.run());
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
        if (!old->first->run().empty() && old->first->run() != link.run())
            displaced_[link.name()] = old->first->run();
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
        complain(why.message);
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
