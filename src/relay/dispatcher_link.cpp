// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/dispatcher_link.hpp"

#include <algorithm>
#include <asio/ip/address.hpp>
#include <cstdint>

#include "base/log.hpp"
#include "protocol/hello.hpp"

namespace mediaproxy::relay
{

namespace
{

constexpr Seconds connect_patience{10};
constexpr Milliseconds first_reconnect_delay{1000};
constexpr int most_unanswered_pings = 3;
/// Reports under way to a dispatcher that acknowledges them.
constexpr std::size_t most_unacknowledged = 1024;
constexpr Milliseconds look_for_delivery{20};

asio::ip::tcp::endpoint to_asio(const net::Endpoint& endpoint)
{
    if (endpoint.address.is_v6())
        return {asio::ip::address_v6(endpoint.address.bytes()), endpoint.port};
    std::array<std::uint8_t, 4> bytes{};
    std::copy_n(endpoint.address.bytes().begin(), 4, bytes.begin());
    return {asio::ip::address_v4(bytes), endpoint.port};
}

} // namespace

DispatcherLink::DispatcherLink(asio::io_context& io, std::string name, net::Endpoint endpoint,
                               const Settings& settings, RelayRequests& relay, Owners& owners)
    : io_(io), name_(std::move(name)), endpoint_(endpoint), settings_(settings), relay_(relay),
      owners_(owners), address_owner_(owners.id_of(name_)), owner_(address_owner_), timer_(io),
      ping_timer_(io), hello_timer_(io), delivery_timer_(io),
      reader_(protocol::RequestReader::Kind::relay), alive_(std::make_shared<bool>(true))
{
}

DispatcherLink::~DispatcherLink()
{
    *alive_ = false;
    stop();
}

void DispatcherLink::start()
{
    connect();
}

void DispatcherLink::stop()
{
    stopped_ = true;
    open_ = false;
    timer_.cancel();
    ping_timer_.cancel();
    hello_timer_.cancel();
    delivery_timer_.cancel();
    connecting_.reset();
    if (link_)
        link_->close();
    link_.reset();
}

void DispatcherLink::connect()
{
    connecting_.emplace(io_);
    timer_.expires_after(connect_patience);
    timer_.async_wait([this, alive = alive_](const asio::error_code& error) {
        asio::error_code ignored;
        if (!error && *alive && connecting_)
            connecting_->close(ignored);
    });
    connecting_->async_connect(to_asio(endpoint_),
                               [this, alive = alive_](const asio::error_code& error) {
                                   if (*alive && !stopped_)
                                       on_connected(error);
                               });
}

void DispatcherLink::on_connected(const asio::error_code& error)
{
    timer_.cancel();
    asio::ip::tcp::socket socket = std::move(*connecting_);
    connecting_.reset();
    if (error) {
        lost(error == asio::error::operation_aborted ? "the connection timed out"
                                                     : error.message());
        return;
    }
    link_ = tls::Link::start(std::move(socket), tls::Link::Side::client, settings_.tls,
                             settings_.passport, *this);
}

void DispatcherLink::on_open()
{
    ++connection_;
    open_ = true;
    peer_ = Peer::unknown;
    acknowledges_removed_ = false;
    waits_for_hello_ = false;
    early_lists_.clear();
    unanswered_pings_ = 0;
    reader_ = protocol::RequestReader(protocol::RequestReader::Kind::relay);
    last_failure_.clear();
    const std::string who = link_->peer_name();
    log::info("dispatcher {}: connected{}{} ({})", name_, who.empty() ? "" : " to ", who,
              link_->protocol());
    std::string line(protocol::hello_word);
    line.append(" ").append(relay_.hello()).append(protocol::line_end);
    link_->write(line);
    keep_alive();
}

void DispatcherLink::on_close(const Error& why)
{
    lost(why.message);
}

void DispatcherLink::lost(const std::string& why)
{
    if (open_)
        log::warning("dispatcher {}: connection lost: {}", name_, why);
    else if (why != last_failure_)
        log::warning("dispatcher {}: no connection to {}: {}; trying again every {} s", name_,
                     endpoint_.to_string(), why, settings_.reconnect_delay.count() / 1000);
    if (!open_)
        last_failure_ = why;
    open_ = false;
    link_.reset();
    ping_timer_.cancel();
    hello_timer_.cancel();
    delivery_timer_.cancel();
    owners_.forget_sent(owner_);
    const Milliseconds delay = std::exchange(was_good_, false)
                                   ? std::min(first_reconnect_delay, settings_.reconnect_delay)
                                   : settings_.reconnect_delay;
    timer_.expires_after(delay);
    timer_.async_wait([this, alive = alive_](const asio::error_code& error) {
        if (!error && *alive && !stopped_)
            connect();
    });
}

void DispatcherLink::keep_alive()
{
    ping_timer_.expires_after(settings_.keepalive_interval);
    ping_timer_.async_wait([this, alive = alive_](const asio::error_code& error) {
        if (error || !*alive || !open_)
            return;
        if (unanswered_pings_ == most_unanswered_pings) {
            link_->close();
            lost("missed 3 keepalive answers in a row");
            return;
        }
        ++unanswered_pings_;
        link_->write("ping\r\n");
        keep_alive();
    });
}

void DispatcherLink::on_bytes(std::string_view bytes)
{
    reader_.feed(bytes);
    out_.clear();
    for (;;) {
        switch (reader_.next(request_)) {
        case protocol::RequestReader::Outcome::request:
            handle(request_);
            continue;
        case protocol::RequestReader::Outcome::malformed:
            log_refusal("request", {}, invalid(reader_.error()));
            if (request_.seq)
                answer(*request_.seq, protocol::answer_error);
            continue;
        case protocol::RequestReader::Outcome::hopeless:
            link_->close();
            lost(reader_.error());
            return;
        case protocol::RequestReader::Outcome::need_more:
            if (!out_.empty())
                link_->write(out_);
            return;
        }
    }
}

void DispatcherLink::send_letters()
{
    if (!is_open() || peer_ == Peer::unknown)
        return;
    std::string lines;
    const auto add = [&](const Letter& letter) {
        lines.append("expired ").append(letter.json).append(protocol::line_end);
    };
    const bool acknowledges = peer_ == Peer::ours;
    owners_.send(owner_, acknowledges ? most_unacknowledged : SIZE_MAX, add);
    if (lines.empty())
        return;
    link_->write(lines);
    if (!acknowledges)
        watch_delivery();
}

/// A 4.x dispatcher acknowledges nothing, but its host's TCP does. What was under way when the
/// connection was lost is told again over the next one.
void DispatcherLink::watch_delivery()
{
    if (std::exchange(watches_delivery_, true))
        return;
    delivery_timer_.expires_after(look_for_delivery);
    delivery_timer_.async_wait([this, alive = alive_](const asio::error_code& error) {
        if (!*alive)
            return;
        watches_delivery_ = false;
        if (error || !is_open() || peer_ != Peer::old)
            return;
        owners_.drop_arrived(owner_, link_->bytes_arrived());
        link_->flush();
        owners_.note_sent(owner_, link_->bytes_sent());
        if (owners_.told_count(owner_) > 0)
            watch_delivery();
    });
}

void DispatcherLink::send_last_letters()
{
    if (is_open() && peer_ == Peer::unknown)
        treat_as_old();
    send_letters();
}

/// A dispatcher of ours says hello as soon as it has read ours, but it may have asked before.
void DispatcherLink::wait_for_hello()
{
    if (std::exchange(waits_for_hello_, true))
        return;
    hello_timer_.expires_after(settings_.hello_patience);
    hello_timer_.async_wait([this, alive = alive_](const asio::error_code& error) {
        if (!error && *alive && is_open() && peer_ == Peer::unknown)
            treat_as_old();
    });
}

/// It is told of ended sessions before the answer to its `sessions` lacks them: that would mean to
/// it that they are lost.
void DispatcherLink::treat_as_old()
{
    peer_ = Peer::old;
    owner_ = address_owner_;
    owners_.revoke(address_owner_);
    send_letters();
    for (const std::uint64_t seq : std::exchange(early_lists_, {}))
        list_sessions(seq);
}

bool DispatcherLink::told_all() const noexcept
{
    return !is_open() || (link_->backlog() == 0 && owners_.letters(owner_).empty());
}

} // namespace mediaproxy::relay
