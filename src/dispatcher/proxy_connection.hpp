// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "base/unique_fd.hpp"
#include "dispatcher/proxy_server.hpp"
#include "protocol/request.hpp"

namespace mediaproxy::dispatcher
{

/// One process of the SIP proxy: reads requests, keeps their answers in order. [core thread]
class ProxyConnection : public std::enable_shared_from_this<ProxyConnection>
{
public:
    ProxyConnection(ProxyServer& server, UniqueFd socket, Ticket first);

    void start() { watch(); }
    void on_ready(std::uint32_t events);
    void send_answers();
    /// Answers what is open, reads nothing more.
    void stop_reading();
    void close();

    const Ticket& ticket() const noexcept { return first_; }
    void answer(std::uint32_t number, std::string_view line);
    void remember(std::uint32_t number, std::uint64_t matter);
    /// Nothing when that request was answered.
    const std::uint64_t* matter_of(std::uint32_t number) const noexcept;

private:
    struct Open {
        std::uint64_t matter = 0;
        bool answered = false;
        std::string line; ///< answered before the requests in front of it
    };
    Open* find(std::uint32_t number) noexcept;
    template <class Work>
    void guard(Work work);
    void read();
    void on_end();
    void handle_requests();
    void refuse_malformed(const protocol::Request& request);
    std::uint32_t open_request();
    void send_later();
    void send();
    void close_when_done();
    void watch();

    ProxyServer& server_;
    UniqueFd socket_;
    Ticket first_; ///< with number 0
    protocol::RequestReader reader_{protocol::RequestReader::Kind::proxy};
    protocol::Request request_;
    std::deque<Open> open_;
    std::uint32_t first_open_ = 0; ///< number of open_.front()
    std::string out_;              ///< lines that the proxy has not taken
    std::uint32_t watched_ = 0;    ///< the events that the poller looks for
    bool handling_ = false;        ///< inside handle_requests(): it sees to what is answered there
    bool send_queued_ = false;     ///< send_answers() will be called
    bool paused_ = false;          ///< too much is open
    bool stopped_ = false;         ///< the daemon is stopping
    bool ended_ = false;           ///< the client has closed its half
    bool writing_ = false;         ///< the client does not take what is sent
};

} // namespace mediaproxy::dispatcher
