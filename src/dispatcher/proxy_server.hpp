// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/socket_poller.hpp"
#include "base/time.hpp"
#include "dispatcher/deadline_queue.hpp"
#include "dispatcher/unix_acceptor.hpp"
#include "protocol/request.hpp"

namespace mediaproxy::dispatcher
{

class ProxyConnection;

/// Names one request of the SIP proxy until it is answered; worthless afterwards.
struct Ticket {
    std::uint32_t connection = 0; ///< place in the server's table
    std::uint32_t number = 0;     ///< of the request on its connection
    std::uint64_t generation = 0; ///< of the connection; never used again
};

/// Decides what the SIP proxy is told. Each request is answered by ProxyServer::answer, during
/// on_request() or later.
class ProxyHandler
{
public:
    virtual ~ProxyHandler() = default;
    /// The request is borrowed for the call.
    virtual void on_request(const protocol::Request& request, Ticket ticket) = 0;
    /// The deadline of a request has come; `error` is said unless it is answered in this call.
    /// `matter` is what remember() was given, else 0.
    virtual void on_late(Ticket ticket, std::uint64_t matter) = 0;
};

/// The control socket (PROTOCOLS section 1): one line for each request, in order, in one write,
/// never late: what was not answered at the deadline is answered `error`.
///
/// Answers leave together at the end of a turn of the loop, after all that was asked by then: the
/// first wakes a processor, the others find it awake, which costs us a fraction. [core thread]
class ProxyServer : private SocketPoller::Reader
{
public:
    ProxyServer(asio::io_context& io, UnixListener listener, Milliseconds deadline,
                ProxyHandler& handler);
    ~ProxyServer() override;

    /// `io` when there is no descriptor left.
    Result<void> open();
    void start();
    /// Takes no new connection and reads no further request; what was asked is still answered.
    void stop_listening();

    /// `line` without its end. Nothing happens when the request was answered or its connection is
    /// gone.
    void answer(Ticket ticket, std::string_view line);
    /// A number of the handler's that comes back with on_late().
    void remember(Ticket ticket, std::uint64_t matter);
    bool is_open(Ticket ticket) const noexcept;
    /// Requests that wait for their answer.
    std::size_t open_requests() const noexcept { return open_requests_; }

private:
    friend class ProxyConnection;
    static SocketPoller::Key key_of(const Ticket& connection) noexcept;
    void add(UniqueFd socket);
    void on_ready(SocketPoller::Key key, std::uint32_t events) override;
    void on_turn_end() override;
    void send_later(Ticket connection);
    void send_answers();
    ProxyConnection* find(Ticket ticket) const noexcept;
    void on_due(Ticket ticket);
    void on_closed(ProxyConnection& connection);

    asio::io_context& io_;
    ProxyHandler& handler_;
    SocketPoller poller_;
    UnixAcceptor door_;
    std::vector<std::shared_ptr<ProxyConnection>> connections_; ///< null: free place
    std::vector<std::uint32_t> free_places_;
    std::uint64_t last_generation_ = 0;
    std::size_t open_requests_ = 0;
    DeadlineQueue<Ticket> deadlines_; ///< of requests that were not answered at once
    std::vector<Ticket> unsent_;      ///< connections with answers for the end of the turn
    std::vector<Ticket> sending_;
    bool in_turn_ = false;
    bool send_posted_ = false;
    std::array<char, 8192> buffer_;                              ///< of whoever reads
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); ///< asked by a handler in flight
};

} // namespace mediaproxy::dispatcher
