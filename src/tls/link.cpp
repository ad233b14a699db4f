// SPDX-License-Identifier: GPL-2.0-or-later
#include "tls/link.hpp"

#include <array>
#include <asio/buffer.hpp>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <fmt/format.h>
#include <linux/sockios.h>
#include <optional>
#include <sys/ioctl.h>

#include "tls/engine.hpp"

namespace mediaproxy::tls
{

namespace
{

net::Endpoint to_endpoint(const asio::ip::tcp::endpoint& endpoint)
{
    const asio::ip::address address = endpoint.address();
    if (address.is_v4())
        return {net::Address::v4(address.to_v4().to_bytes()), endpoint.port()};
    if (address.to_v6().is_v4_mapped()) {
        const auto mapped = asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6());
        return {net::Address::v4(mapped.to_bytes()), endpoint.port()};
    }
    return {net::Address::v6(address.to_v6().to_bytes()), endpoint.port()};
}

} // namespace

class Link::State : public std::enable_shared_from_this<State>
{
public:
    State(asio::ip::tcp::socket socket, std::shared_ptr<Context> context, Passport passport,
          Owner& owner)
        : socket_(std::move(socket)), context_(std::move(context)), passport_(std::move(passport)),
          owner_(&owner), timer_(socket_.get_executor())
    {
        std::error_code ignored;
        remote = to_endpoint(socket_.remote_endpoint(ignored));
        local = to_endpoint(socket_.local_endpoint(ignored));
    }

    void start(Side side, Seconds handshake_timeout);
    void write(std::string_view bytes);
    void flush();
    void close();
    std::size_t backlog() const noexcept { return pending_.size() + unsent_.size() - sent_; }
    std::uint64_t bytes_sent() const noexcept { return taken_ + unsent_.size() - sent_; }
    std::uint64_t bytes_arrived() noexcept;

    net::Endpoint remote, local;
    std::optional<Engine> engine;

private:
    void open_plain();
    void receive();
    void on_received(std::error_code error, std::size_t size);
    void advance_handshake();
    void deliver_plain_text();
    void flush_at_end_of_turn();
    void send_output();
    void send(std::string_view bytes);
    std::size_t send_now(std::string_view bytes);
    void wait_until_writable();
    void send_unsent();
    void verify_again_later();
    void fail(Error why);
    void finish();

    asio::ip::tcp::socket socket_;
    std::shared_ptr<Context> context_;
    Passport passport_;
    Owner* owner_;             ///< null after close()
    asio::steady_timer timer_; ///< the handshake's deadline, then the next verification
    std::string pending_;      ///< plain bytes written and not flushed
    std::string unsent_;       ///< bytes for the wire that the socket did not take
    std::size_t sent_ = 0;     ///< of unsent_
    std::uint64_t taken_ = 0;  ///< bytes that the socket took
    std::array<char, 16384> received_;
    bool open_ = false;
    bool finished_ = false; ///< closed, or failed and about to tell the owner
    bool broken_ = false;   ///< sending fails; receiving will say why
    bool flush_posted_ = false;
    bool waiting_ = false; ///< for the socket to become writable
};

void Link::State::start(Side side, Seconds handshake_timeout)
{
    std::error_code error;
    socket_.non_blocking(true, error);
    socket_.set_option(asio::ip::tcp::no_delay(true), error);
    if (!context_) {
        asio::post(socket_.get_executor(), [self = shared_from_this()] { self->open_plain(); });
        return;
    }
    Result<Engine> made = Engine::create(*context_, side == Side::client ? Engine::Side::client
                                                                         : Engine::Side::server);
    if (!made) {
        fail(made.error());
        return;
    }
    engine = std::move(*made);
    timer_.expires_after(handshake_timeout);
    timer_.async_wait([self = shared_from_this()](std::error_code cancelled) {
        if (!cancelled && !self->open_)
            self->fail(Error{Error::Code::unavailable, "no TLS handshake in time"});
    });
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
        if (self->finished_)
            return;
        self->advance_handshake();
        self->receive();
    });
}

void Link::State::open_plain()
{
    if (finished_)
        return;
    open_ = true;
    owner_->on_open();
    if (finished_)
        return;
    flush();
    receive();
}

void Link::State::receive()
{
    if (finished_)
        return;
    socket_.async_read_some(asio::buffer(received_),
                            [self = shared_from_this()](std::error_code error, std::size_t size) {
                                self->on_received(error, size);
                            });
}

void Link::State::on_received(std::error_code error, std::size_t size)
{
    if (finished_)
        return;
    if (error) {
        const bool ended = error == asio::error::eof;
        fail(Error{ended ? Error::Code::unavailable : Error::Code::io,
                   ended ? "closed by the peer" : error.message()});
        return;
    }
    const std::string_view bytes(received_.data(), size);
    if (!engine) {
        owner_->on_bytes(bytes);
    } else {
        engine->feed(bytes);
        if (!open_)
            advance_handshake();
        if (open_)
            deliver_plain_text();
    }
    receive();
}

void Link::State::advance_handshake()
{
    const Result<bool> done = engine->handshake();
    send_output();
    if (!done) {
        fail(done.error());
        return;
    }
    if (!*done)
        return;
    if (const Result<void> accepted = passport_.accept(engine->peer_subject()); !accepted) {
        fail(accepted.error());
        return;
    }
    open_ = true;
    verify_again_later();
    owner_->on_open();
    if (!finished_)
        flush();
}

void Link::State::deliver_plain_text()
{
    std::array<char, 16384> plain;
    while (!finished_) {
        const Result<std::size_t> size = engine->read(plain);
        if (!size) {
            send_output();
            fail(size.error());
            return;
        }
        if (*size == 0)
            break;
        owner_->on_bytes({plain.data(), *size});
    }
    if (finished_)
        return;
    send_output(); // what the engine itself had to say: key updates, alerts
    if (engine->closed())
        fail(Error{Error::Code::unavailable, "closed by the peer"});
}

void Link::State::write(std::string_view bytes)
{
    if (finished_)
        return;
    pending_.append(bytes);
    flush_at_end_of_turn();
}

void Link::State::flush_at_end_of_turn()
{
    if (flush_posted_ || !open_)
        return;
    flush_posted_ = true;
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
        self->flush_posted_ = false;
        self->flush();
    });
}

void Link::State::flush()
{
    if (finished_ || !open_ || pending_.empty())
        return;
    if (!engine) {
        send(pending_);
        pending_.clear();
        return;
    }
    std::string_view plain = pending_;
    while (!plain.empty()) {
        const Result<std::size_t> encrypted = engine->write(plain);
        send_output();
        if (!encrypted) {
            pending_.clear();
            fail(encrypted.error());
            return;
        }
        plain.remove_prefix(*encrypted);
    }
    pending_.clear();
}

void Link::State::send_output()
{
    const std::string_view bytes = engine->output();
    if (bytes.empty())
        return;
    send(bytes);
    engine->output_taken();
}

void Link::State::send(std::string_view bytes)
{
    if (waiting_) {
        unsent_.append(bytes);
        return;
    }
    bytes.remove_prefix(send_now(bytes));
    if (bytes.empty() || broken_)
        return;
    unsent_.assign(bytes);
    sent_ = 0;
    wait_until_writable();
}

/// How much of `bytes` the socket took. An error is left to the receiving side, which may hold the
/// alert that explains it.
std::size_t Link::State::send_now(std::string_view bytes)
{
    std::size_t taken = 0;
    while (taken < bytes.size() && !broken_) {
        std::error_code error;
        const std::string_view rest = bytes.substr(taken);
        const std::size_t size = socket_.send(asio::buffer(rest.data(), rest.size()), 0, error);
        taken += size;
        taken_ += size;
        if (error == asio::error::would_block || error == asio::error::try_again)
            return taken;
        broken_ = static_cast<bool>(error);
    }
    return taken;
}

std::uint64_t Link::State::bytes_arrived() noexcept
{
    int in_socket = 0;
    const bool known =
        !broken_ && !finished_ && ::ioctl(socket_.native_handle(), SIOCOUTQ, &in_socket) == 0;
    return known ? taken_ - static_cast<std::uint64_t>(in_socket) : 0;
}

void Link::State::wait_until_writable()
{
    waiting_ = true;
    socket_.async_wait(asio::ip::tcp::socket::wait_write,
                       [self = shared_from_this()](std::error_code error) {
                           self->waiting_ = false;
                           if (!error)
                               self->send_unsent();
                       });
}

void Link::State::send_unsent()
{
    if (finished_)
        return;
    sent_ += send_now(std::string_view(unsent_).substr(sent_));
    if (sent_ < unsent_.size() && !broken_) {
        wait_until_writable();
        return;
    }
    unsent_.clear();
    unsent_.shrink_to_fit();
    sent_ = 0;
}

void Link::State::verify_again_later()
{
    timer_.expires_after(context_->verify_interval());
    timer_.async_wait([self = shared_from_this()](std::error_code cancelled) {
        if (cancelled || self->finished_)
            return;
        const Result<void> good = self->context_->verify(self->engine->connection());
        good ? self->verify_again_later() : self->fail(good.error());
    });
}

void Link::State::close()
{
    owner_ = nullptr;
    if (finished_)
        return;
    flush();
    if (engine) {
        engine->shutdown();
        send_output();
    }
    finish();
}

void Link::State::fail(Error why)
{
    if (finished_)
        return;
    if (engine && open_) {
        engine->shutdown();
        send_output();
    }
    finish();
    why.message = fmt::format("{}: {}", remote.to_string(), why.message);
    asio::post(socket_.get_executor(), [self = shared_from_this(), why = std::move(why)] {
        if (Owner* const owner = std::exchange(self->owner_, nullptr))
            owner->on_close(why);
    });
}

void Link::State::finish()
{
    finished_ = true;
    timer_.cancel();
    std::error_code ignored;
    socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    socket_.close(ignored);
}

Link::Link() = default;
Link::~Link()
{
    state_->close();
}

std::shared_ptr<Link> Link::start(asio::ip::tcp::socket socket, Side side,
                                  std::shared_ptr<Context> context, Passport passport, Owner& owner,
                                  Seconds handshake_timeout)
{
    std::shared_ptr<Link> link(new Link);
    link->state_ =
        std::make_shared<State>(std::move(socket), std::move(context), std::move(passport), owner);
    link->state_->start(side, handshake_timeout);
    return link;
}

void Link::write(std::string_view bytes)
{
    state_->write(bytes);
}

void Link::flush()
{
    state_->flush();
}

std::size_t Link::backlog() const noexcept
{
    return state_->backlog();
}

std::uint64_t Link::bytes_sent() const noexcept
{
    return state_->bytes_sent();
}

std::uint64_t Link::bytes_arrived() const noexcept
{
    return state_->bytes_arrived();
}

void Link::close()
{
    state_->close();
}

const net::Endpoint& Link::remote() const noexcept
{
    return state_->remote;
}

const net::Endpoint& Link::local() const noexcept
{
    return state_->local;
}

std::string Link::protocol() const
{
    return state_->engine ? state_->engine->protocol() : "plain";
}

std::string Link::peer_name() const
{
    return state_->engine ? state_->engine->peer_name() : std::string();
}

} // namespace mediaproxy::tls
