// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "dispatcher/relay_link.hpp"
#include "dispatcher/tcp_listener.hpp"

namespace mediaproxy::dispatcher
{

/// Takes the connections of relays and owns them. [core thread]
class RelayServer final : public RelayLink::Owner
{
public:
    /// Who wants to know of relays that have said who they are.
    class Listener
    {
    public:
        virtual ~Listener() = default;
        /// Is a relay of that name connected, perhaps the one in this process?
        virtual bool has_relay(const std::string& name) const = 0;
        virtual void on_connected(RelayLink& relay) = 0;
        /// Take it out of everything; then its requests fail. Of one that was refused, too.
        virtual void on_disconnected(RelayLink& relay) = 0;
        virtual void on_expired(RelayPeer& relay, protocol::SessionReport&& report) = 0;
    };

    static Result<std::unique_ptr<RelayServer>>
    open(asio::io_context& io, const std::vector<net::Endpoint>& endpoints,
         std::shared_ptr<tls::Context> context, RelayLink::Settings settings, Listener& listener);
    ~RelayServer() override;

    void start() { door_->start(); }
    void stop_listening() { door_->stop(); }
    void close_all();
    std::vector<net::Endpoint> endpoints() const { return door_->endpoints(); }

private:
    RelayServer(asio::io_context& io, std::shared_ptr<tls::Context> context,
                RelayLink::Settings settings, Listener& listener);
    void on_accepted(asio::ip::tcp::socket socket);
    void on_relay_known(RelayLink& link) override;
    void on_relay_gone(RelayLink& link, const Error& why) override;
    void on_relay_expired(RelayLink& link, protocol::SessionReport&& report) override;
    void drop(RelayLink& link, const Error& why);
    bool is_namesake(const RelayLink& link, const RelayLink& old) const;
    void refuse(RelayLink& link, const std::string& namesake);
    void make_room();
    void complain(const std::string& about_stranger);

    asio::io_context& io_;
    std::shared_ptr<tls::Context> context_;
    RelayLink::Settings settings_;
    Listener& listener_;
    std::unique_ptr<TcpListener> door_;
    std::unordered_map<RelayLink*, std::unique_ptr<RelayLink>> links_;
    std::size_t strangers_ = 0; ///< links that have not said who they are
    std::string refused_;       ///< what was logged last: they come again and again
    /// By the relay's name: the run of it whose place another run took last.
    std::map<std::string, std::string> displaced_;
    TimePoint complaints_since_{};
    std::map<std::string, std::size_t> complaints_; ///< how often for which reason
};

} // namespace mediaproxy::dispatcher
