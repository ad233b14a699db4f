// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/proxy_connection.hpp"

#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/post.hpp>
#include <cerrno>
#include <sys/socket.h>

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

ProxyConnection::ProxyConnection(ProxyServer& server, asio::posix::stream_descriptor socket,
                                 Ticket first)
    : server_(server), socket_(std::move(socket)), first_(first)
{
}

void ProxyConnection::read()
{
    if (reading_ || stopped_ || paused_ || ended_ || !socket_.is_open())
        return;
    reading_ = true;
    socket_.async_read_some(
        asio::buffer(buffer_),
        [self = shared_from_this()](const asio::error_code& error, std::size_t size) {
            self->reading_ = false;
            if (!self->socket_.is_open())
                return;
            if (error)
                return self->on_end();
            self->on_bytes(size);
        });
}

void ProxyConnection::on_bytes(std::size_t size)
{
    reader_.feed({buffer_.data(), size});
    handle_requests();
    read();
}

/// A client may close its half and still wait for the answers.
void ProxyConnection::on_end()
{
    ended_ = true;
    if (open_.empty() && out_.empty())
        close();
}

void ProxyConnection::handle_requests()
{
    handling_ = true;
    while (socket_.is_open() && !stopped_) {
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
    send();
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
    send();
    if (ended_ && open_.empty() && out_.empty())
        return close();
    if (!paused_ || stopped_ || open_.size() > most_open / 2)
        return;
    paused_ = false;
    asio::post(socket_.get_executor(), [self = shared_from_this()] {
        self->handle_requests();
        self->read();
    });
}

void ProxyConnection::send()
{
    if (out_.empty() || writing_ || !socket_.is_open())
        return;
    const ssize_t sent =
        ::send(socket_.native_handle(), out_.data(), out_.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent == static_cast<ssize_t>(out_.size())) {
        out_.clear();
        return;
    }
    if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        return close();
    if (sent > 0)
        out_.erase(0, static_cast<std::size_t>(sent));
    if (out_.size() > most_unsent) {
        log::warning("control socket: a proxy process takes no answers: connection closed");
        return close();
    }
    wait_writable();
}

void ProxyConnection::wait_writable()
{
    writing_ = true;
    socket_.async_wait(asio::posix::stream_descriptor::wait_write,
                       [self = shared_from_this()](const asio::error_code& error) {
                           self->writing_ = false;
                           if (!self->socket_.is_open())
                               return;
                           if (error)
                               return self->close();
                           self->send();
                           if (self->ended_)
                               self->on_end();
                       });
}

void ProxyConnection::stop_reading()
{
    stopped_ = true;
}

void ProxyConnection::close()
{
    if (!socket_.is_open())
        return;
    asio::error_code ignored;
    socket_.close(ignored);
    for (const Open& open : open_)
        server_.open_requests_ -= open.answered ? 0 : 1;
    open_.clear();
    first_open_ += most_open + 1; // no ticket fits any more
    server_.on_closed(*this);
}

} // namespace mediaproxy::dispatcher
