// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/proxy_connection.hpp"

#include <asio/post.hpp>
#include <cerrno>
#include <exception>
#include <fmt/format.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <utility>

#include "base/log.hpp"
#include "base/text.hpp"
#include "protocol/reply.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

constexpr std::size_t most_open = 256;     // requests of one connection; no real proxy has two
constexpr std::size_t most_unsent = 65536; // bytes that the proxy does not take

} // namespace

ProxyConnection::ProxyConnection(ProxyServer& server, UniqueFd socket, Ticket first)
    : server_(server), socket_(std::move(socket)), first_(first)
{
}

/// What nobody looks for is not watched at all, else a client that is gone would be told in every
/// turn.
void ProxyConnection::watch()
{
    if (!socket_)
        return;
    const bool reads = !paused_ && !stopped_ && !ended_;
    const std::uint32_t wanted = (reads ? EPOLLIN : 0U) | (writing_ ? EPOLLOUT : 0U);
    if (wanted == watched_)
        return;
    const std::uint32_t before = std::exchange(watched_, wanted);
    if (wanted == 0)
        return server_.poller_.remove(socket_.get());
    if (before != 0)
        return server_.poller_.change(socket_.get(), ProxyServer::key_of(first_), wanted);
    const auto added = server_.poller_.add(socket_.get(), ProxyServer::key_of(first_), wanted);
    if (added)
        return;
    log::error("control socket: {}: connection closed", added.error().message);
    close();
}

/// What escapes (no memory) costs this connection, of which nobody knows how far it came; the proxy
/// asks on a new one.
template <class Work>
void ProxyConnection::guard(Work work)
{
    try {
        work();
    } catch (const std::exception& escaped) {
        log::write(log::Level::critical,
                   fmt::format("control socket: an exception escaped: {}: connection closed",
                               escaped.what()));
        close();
    }
}

void ProxyConnection::on_ready(std::uint32_t events)
{
    guard([&] {
        if ((watched_ & EPOLLOUT) != 0 && (events & ~std::uint32_t{EPOLLIN}) != 0) {
            writing_ = false;
            send();
            close_when_done();
        }
        if ((watched_ & EPOLLIN) != 0 && (events & ~std::uint32_t{EPOLLOUT}) != 0 && socket_)
            read();
        watch();
    });
}

void ProxyConnection::read()
{
    const ssize_t size =
        ::recv(socket_.get(), server_.buffer_.data(), server_.buffer_.size(), MSG_DONTWAIT);
    if (size > 0) {
        reader_.feed({server_.buffer_.data(), static_cast<std::size_t>(size)});
        return handle_requests();
    }
    if (size == 0 || (errno != EAGAIN && errno != EINTR))
        on_end();
}

/// A client may close its half and still wait for the answers.
void ProxyConnection::on_end()
{
    ended_ = true;
    close_when_done();
}

void ProxyConnection::handle_requests()
{
    handling_ = true;
    while (socket_ && !stopped_) {
        if (open_.size() >= most_open) {
            paused_ = true;
            break;
        }
        const auto outcome = reader_.next(request_);
        if (outcome == protocol::RequestReader::Outcome::need_more)
            break;
        if (outcome == protocol::RequestReader::Outcome::hopeless) {
            log::warning("control socket: {}: connection closed", reader_.error());
            handling_ = false;
            send();
            return close();
        }
        if (outcome == protocol::RequestReader::Outcome::malformed) {
            refuse_malformed(request_);
            continue;
        }
        Ticket ticket = first_;
        ticket.number = open_request();
        server_.handler_.on_request(request_, ticket);
        if (find(ticket.number))
            server_.deadlines_.add(ticket);
    }
    handling_ = false;
    send_later();
}

void ProxyConnection::refuse_malformed(const protocol::Request& request)
{
    log::info("control socket: {} answered error: {}",
              request.command.empty() ? std::string_view("a request") : request.command,
              reader_.error());
    answer(open_request(), protocol::answer_error);
}

std::uint32_t ProxyConnection::open_request()
{
    open_.emplace_back();
    ++server_.open_requests_;
    return first_open_ + static_cast<std::uint32_t>(open_.size()) - 1;
}

ProxyConnection::Open* ProxyConnection::find(std::uint32_t number) noexcept
{
    const std::uint32_t place = number - first_open_;
    return place < open_.size() && !open_[place].answered ? &open_[place] : nullptr;
}

const std::uint64_t* ProxyConnection::matter_of(std::uint32_t number) const noexcept
{
    const std::uint32_t place = number - first_open_;
    return place < open_.size() && !open_[place].answered ? &open_[place].matter : nullptr;
}

void ProxyConnection::remember(std::uint32_t number, std::uint64_t matter)
{
    if (Open* const open = find(number))
        open->matter = matter;
}

void ProxyConnection::answer(std::uint32_t number, std::string_view line)
{
    Open* const open = find(number);
    if (!open)
        return;
    open->answered = true;
    --server_.open_requests_;
    if (number != first_open_) { // its turn has not come
        open->line = line;
        return;
    }
    out_.append(line).append(protocol::line_end);
    open_.pop_front();
    ++first_open_;
    while (!open_.empty() && open_.front().answered) {
        out_.append(open_.front().line).append(protocol::line_end);
        open_.pop_front();
        ++first_open_;
    }
    if (handling_)
        return;
    send_later();
    if (!paused_ || stopped_ || open_.size() > most_open / 2)
        return;
    paused_ = false;
    asio::post(server_.io_, [self = shared_from_this()] {
        self->guard([&] {
            self->handle_requests();
            self->watch();
        });
    });
}

void ProxyConnection::send_later()
{
    if (stopped_) // there may be no later
        return send_answers();
    if (!out_.empty() && !std::exchange(send_queued_, true))
        server_.send_later(first_);
}

void ProxyConnection::send_answers()
{
    send_queued_ = false;
    send();
    close_when_done();
    watch();
}

void ProxyConnection::close_when_done()
{
    if (ended_ && open_.empty() && out_.empty())
        close();
}

void ProxyConnection::send()
{
    if (out_.empty() || !socket_)
        return;
    if (!writing_) {
        const ssize_t sent =
            ::send(socket_.get(), out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
            return close();
        out_.erase(0, sent > 0 ? static_cast<std::size_t>(sent) : 0);
        writing_ = !out_.empty();
    }
    if (out_.size() > most_unsent) {
        log::warning("control socket: a proxy process takes no answers: connection closed");
        close();
    }
}

void ProxyConnection::stop_reading()
{
    stopped_ = true;
    send_answers();
}

void ProxyConnection::close()
{
    if (!socket_)
        return;
    socket_.reset();
    out_.clear();
    for (const Open& open : open_)
        server_.open_requests_ -= open.answered ? 0 : 1;
    open_.clear();
    first_open_ += most_open + 1; // no ticket fits any more
    server_.on_closed(*this);
}

} // namespace mediaproxy::dispatcher
