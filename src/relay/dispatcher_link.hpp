// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "net/endpoint.hpp"
#include "protocol/request.hpp"
#include "relay/owners.hpp"
#include "relay/relay_requests.hpp"
#include "tls/context.hpp"
#include "tls/link.hpp"
#include "tls/passport.hpp"

namespace mediaproxy::relay
{

/// The way to one dispatcher: connects, answers its requests, keeps the connection alive, comes
/// back when it is lost, and tells of sessions that ended by themselves. Serves MediaProxy 4.x and
/// our own dispatchers; which of them it is shows soon (protocol/hello.hpp).
/// [core thread]
class DispatcherLink final : public tls::Link::Owner
{
public:
    struct Settings {
        std::shared_ptr<tls::Context> tls; ///< null: plain TCP
        tls::Passport passport;
        Milliseconds keepalive_interval{10000}, reconnect_delay{10000};
        std::size_t longest_answer = 4U << 20; ///< that a 4.x dispatcher takes
        /// From the first request on: who has not said hello by then is a 4.x dispatcher.
        Milliseconds hello_patience{200};
    };
    /// `name` is for logs, and what a 4.x dispatcher's sessions belong to. The references outlive
    /// the link.
    DispatcherLink(asio::io_context& io, std::string name, net::Endpoint endpoint,
                   const Settings& settings, RelayRequests& relay, Owners& owners);
    ~DispatcherLink() override;

    void start();
    /// Closes for good, after what is queued was sent as far as the socket takes it.
    void stop();

    /// Tells the dispatcher of ended sessions, if it can hear it now.
    void send_letters();
    /// Before the relay stops: also a peer that never asked anything is told.
    void send_last_letters();
    /// Nothing more to tell, or nobody there to tell it.
    bool told_all() const noexcept;

    bool is_open() const noexcept { return link_ != nullptr && open_; }
    const std::string& name() const noexcept { return name_; }
    const net::Endpoint& endpoint() const noexcept { return endpoint_; }
    /// Whom new sessions of this link belong to.
    session::OwnerId owner() const noexcept { return owner_; }
    /// Whom they belonged to before the dispatcher said its name.
    session::OwnerId address_owner() const noexcept { return address_owner_; }

private:
    enum class Peer { unknown, old, ours };
    struct Listing;

    void on_open() override;
    void on_bytes(std::string_view bytes) override;
    void on_close(const Error& why) override;

    void connect();
    void on_connected(const asio::error_code& error);
    void lost(const std::string& why);
    void keep_alive();

    void handle(const protocol::Request& request);
    void wait_for_hello();
    void treat_as_old();
    void watch_delivery();
    void answer(std::uint64_t seq, std::string_view text);
    void answer_update(const protocol::Request& request);
    void answer_remove(const protocol::Request& request);
    void answer_summary(const protocol::Request& request);
    void answer_sessions(const protocol::Request& request);
    void list_sessions(std::uint64_t seq);
    void begin_list(const std::shared_ptr<Listing>& listing);
    void answer_hello(const protocol::Request& request);
    void answer_acknowledge(const protocol::Request& request);
    void answer_letters(const protocol::Request& request);
    void keep_removed(const protocol::SessionReport& report, std::string_view json);
    void list_more(const std::shared_ptr<Listing>& listing);
    void log_refusal(std::string_view command, std::string_view call_id, const Error& error);

    asio::io_context& io_;
    std::string name_;
    net::Endpoint endpoint_;
    Settings settings_;
    RelayRequests& relay_;
    Owners& owners_;
    session::OwnerId address_owner_;
    session::OwnerId owner_;

    std::optional<asio::ip::tcp::socket> connecting_;
    std::shared_ptr<tls::Link> link_;
    asio::steady_timer timer_; ///< of the connection attempt, or until the next one
    asio::steady_timer ping_timer_;
    asio::steady_timer hello_timer_;
    asio::steady_timer delivery_timer_;      ///< while letters are under way to a 4.x dispatcher
    std::vector<std::uint64_t> early_lists_; ///< asked for before we knew by whom
    protocol::RequestReader reader_;
    protocol::Request request_;
    std::string out_; ///< answers of one on_bytes(), written at once
    Peer peer_ = Peer::unknown;
    bool open_ = false;
    bool watches_delivery_ = false;
    bool stopped_ = false;
    bool acknowledges_removed_ = false; ///< the peer: protocol::feature_keep
    bool waits_for_hello_ = false;
    bool was_good_ = false; ///< the last connection carried something
    int unanswered_pings_ = 0;
    std::string last_failure_;     ///< told to the log once
    std::uint64_t connection_ = 0; ///< counts up; for answers that come later
    TimePoint refusals_since_{};
    unsigned refusals_ = 0;
    std::shared_ptr<bool> alive_;
};

} // namespace mediaproxy::relay
