// SPDX-License-Identifier: GPL-2.0-or-later
#include "exchange.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <poll.h>
#include <sys/socket.h>
#include <utility>

namespace mediaproxy::accounting_radius
{

void Exchange::run(std::span<const Bytes* const> bodies)
{
    requests_.clear();
    for (const Bytes* body : bodies) {
        Request request;
        const auto identifier = static_cast<std::uint8_t>(requests_.size());
        request.packet = make_request(identifier, *body, server_.secret);
        requests_.push_back(std::move(request));
    }
    if (!open())
        return fail(std::strerror(errno));
    while (!gone_ && !cancelled_.raised()) {
        fill_window();
        if (gone_ || in_flight_ == 0)
            return;
        wait();
        read_answers();
        look_at_deadlines();
    }
}

bool Exchange::open()
{
    socket_ = plugin_support::UniqueFd(
        ::socket(server_.address.family(), SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket_.value() < 0)
        return false;
    if (from_ && from_->family() == server_.address.family() &&
        ::bind(socket_.value(), from_->get(), from_->length) != 0)
        return false;
    // Connected: datagrams of others are not heard, and an ICMP error is.
    return ::connect(socket_.value(), server_.address.get(), server_.address.length) == 0;
}

void Exchange::fail(std::string reason)
{
    gone_ = true;
    failure_ = std::move(reason);
}

void Exchange::fill_window()
{
    for (; next_ < requests_.size() && in_flight_ < window && !gone_; ++next_) {
        Request& request = requests_[next_];
        request.state = State::in_flight;
        request.first_sent = Clock::now();
        ++in_flight_;
        send(request);
    }
}

void Exchange::send(Request& request)
{
    ++request.tries;
    request.deadline = Clock::now() + patience_.timeout;
    const ssize_t sent = ::send(socket_.value(), request.packet.data(), request.packet.size(), 0);
    // A full buffer is as a datagram lost on its way: there is another try.
    if (sent < 0 && errno != EAGAIN && errno != ENOBUFS && errno != EINTR)
        fail(std::strerror(errno));
}

void Exchange::wait()
{
    auto next = Clock::time_point::max();
    for (const Request& request : requests_) {
        if (request.state == State::in_flight)
            next = std::min(next, request.deadline);
    }
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
    std::array<pollfd, 2> waiting{{{socket_.value(), POLLIN, 0}, {cancelled_.fd(), POLLIN, 0}}};
    ::poll(waiting.data(), waiting.size(), static_cast<int>(std::max<long>(left, 0)));
}

void Exchange::read_answers()
{
    std::array<std::uint8_t, 4096> buffer;
    while (!gone_) {
        const ssize_t got = ::recv(socket_.value(), buffer.data(), buffer.size(), 0);
        if (got >= 0)
            read_answer(ByteView(buffer).first(static_cast<std::size_t>(got)));
        else if (errno == EAGAIN)
            return;
        else if (errno != EINTR)
            fail(std::strerror(errno));
    }
}

/// Whatever does not verify is not heard (RFC 2865 section 3): the right answer may still come.
void Exchange::read_answer(ByteView datagram)
{
    if (datagram.size() < 2 || datagram[1] >= requests_.size() ||
        !acknowledges(datagram, requests_[datagram[1]].packet, server_.secret)) {
        got_bad_answer_ = true;
        return;
    }
    Request& request = requests_[datagram[1]];
    if (request.state == State::in_flight)
        --in_flight_;
    request.state = State::acknowledged;
    last_answer_ = Clock::now();
}

void Exchange::look_at_deadlines()
{
    const Clock::time_point now = Clock::now();
    for (Request& request : requests_) {
        if (gone_)
            return;
        if (request.state != State::in_flight || request.deadline > now)
            continue;
        if (request.tries < patience_.tries)
            send(request);
        else
            give_up(request);
    }
}

/// A server that has answered since the request was first sent has something against that one.
void Exchange::give_up(Request& request)
{
    request.state = State::given_up;
    --in_flight_;
    request.passed_over = last_answer_ >= request.first_sent;
    if (!request.passed_over)
        fail("no answer to " + std::to_string(patience_.tries) + " tries");
}

/// The same words every time, so that the host logs them once.
std::string Exchange::complaint() const
{
    if (got_bad_answer_)
        return server_.name + ": answers that do not fit the request and the secret" +
               (failure_.empty() ? "" : "; " + failure_);
    return failure_.empty() ? std::string() : server_.name + ": " + failure_;
}

} // namespace mediaproxy::accounting_radius
