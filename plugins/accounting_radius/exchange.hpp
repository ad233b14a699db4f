// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "packet.hpp"
#include "resolver.hpp"
#include "signal.hpp"

namespace mediaproxy::accounting_radius
{

/// An accounting server at one address.
struct Server {
    std::string name; ///< for people and for what is remembered of it
    SocketAddress address;
    std::string secret;
};

struct Patience {
    std::chrono::milliseconds timeout{10000}; ///< for an answer, until the request is sent again
    int tries = 3;
};

/// Sends requests to one server and waits for its answers. A request that is sent again is the same
/// to the byte, from the same port, so that the server knows it for a duplicate (RFC 2866 section
/// 3, Identifier).
class Exchange
{
public:
    static constexpr std::size_t most_requests = 256; ///< each has an identifier of its own
    static constexpr std::size_t window = 32;         ///< requests on their way at once: more would
                                                      ///< only overflow a server's socket buffer

    /// `from`: which address to send from, when it is of the server's family.
    Exchange(const Server& server, const Patience& patience,
             const std::optional<SocketAddress>& from, const Signal& cancelled)
        : server_(server), patience_(patience), from_(from), cancelled_(cancelled)
    {
    }

    /// Ends when every request was acknowledged or given up, when the server counts as gone, or
    /// when it is cancelled. `bodies` are the requests' attributes.
    void run(std::span<const Bytes* const> bodies);

    bool was_sent(std::size_t request) const { return requests_[request].state != State::waiting; }
    bool acknowledged(std::size_t request) const
    {
        return requests_[request].state == State::acknowledged;
    }
    /// The server acknowledged others since this one was sent first, and let its time pass.
    bool passed_over(std::size_t request) const { return requests_[request].passed_over; }
    /// It answers nothing, or nothing can be sent to it.
    bool gone() const noexcept { return gone_; }
    /// What is wrong with the server, "" if nothing.
    std::string complaint() const;

private:
    using Clock = std::chrono::steady_clock;
    enum class State { waiting, in_flight, acknowledged, given_up };

    struct Request {
        Bytes packet;
        State state = State::waiting;
        bool passed_over = false;
        int tries = 0;
        Clock::time_point first_sent, deadline;
    };

    bool open();
    void send(Request& request);
    void fill_window();
    void wait();
    void read_answers();
    void read_answer(ByteView datagram);
    void look_at_deadlines();
    void give_up(Request& request);
    void fail(std::string reason);

    const Server& server_;
    const Patience& patience_;
    const std::optional<SocketAddress>& from_;
    const Signal& cancelled_;

    plugin_support::UniqueFd socket_;
    std::vector<Request> requests_; ///< by identifier
    std::size_t next_ = 0;          ///< the first that was never sent
    std::size_t in_flight_ = 0;
    bool got_bad_answer_ = false;
    Clock::time_point last_answer_ = Clock::time_point::min();
    bool gone_ = false;
    std::string failure_;
};

} // namespace mediaproxy::accounting_radius
