// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "loop.hpp"
#include "tls/link.hpp"

namespace mediaproxy::test
{

/// A dispatcher that does what the test says: listens on loopback, remembers every line that the
/// relay sent over the present connection.
class ScriptedDispatcher : public tls::Link::Owner
{
public:
    explicit ScriptedDispatcher(
        asio::io_context& io,
        const asio::ip::tcp::endpoint& place = {asio::ip::address_v4::loopback(), 0})
        : io_(io), acceptor_(io, place), place_(acceptor_.local_endpoint())
    {
        accept();
    }
    ~ScriptedDispatcher() override { hang_up(); }

    net::Endpoint endpoint() const { return {net::Address::v4({127, 0, 0, 1}), place_.port()}; }
    /// Into the void, when the relay has left.
    void say(std::string_view text)
    {
        if (link_)
            link_->write(text);
    }
    void hang_up()
    {
        if (link_)
            link_->close();
        link_.reset();
    }
    /// Nobody is there: relays that connect again are refused.
    void leave()
    {
        acceptor_.close();
        hang_up();
    }
    void come_back()
    {
        acceptor_ = asio::ip::tcp::acceptor(io_, place_);
        accept();
    }
    /// The relay has connected and not left.
    bool has_peer() const noexcept { return link_ != nullptr; }
    bool wait_connection(int number)
    {
        return run_until(io_, [&] { return connections == number && link_ != nullptr; });
    }
    /// The first line from the relay that begins so and was not asked for yet; nothing when none
    /// comes.
    std::optional<std::string> wait_line(std::string_view beginning)
    {
        std::optional<std::string> found;
        run_until(io_, [&] {
            const auto line = std::find_if(lines.begin(), lines.end(), [&](const auto& each) {
                return each.starts_with(beginning);
            });
            if (line == lines.end())
                return false;
            found = *line;
            lines.erase(line);
            return true;
        });
        return found;
    }

    int connections = 0;
    std::vector<std::string> lines;
    bool closed = false;

private:
    void accept()
    {
        acceptor_.async_accept([this](const asio::error_code& error, asio::ip::tcp::socket socket) {
            if (error)
                return;
            hang_up();
            lines.clear();
            rest_.clear();
            closed = false;
            link_ =
                tls::Link::start(std::move(socket), tls::Link::Side::server, nullptr, {}, *this);
            accept();
        });
    }
    void on_open() override { ++connections; }
    void on_bytes(std::string_view bytes) override
    {
        rest_.append(bytes);
        for (std::size_t end; (end = rest_.find("\r\n")) != std::string::npos;) {
            lines.push_back(rest_.substr(0, end));
            rest_.erase(0, end + 2);
        }
    }
    void on_close(const Error&) override
    {
        closed = true;
        link_.reset();
    }

    asio::io_context& io_;
    asio::ip::tcp::acceptor acceptor_;
    asio::ip::tcp::endpoint place_;
    std::shared_ptr<tls::Link> link_;
    std::string rest_;
};

} // namespace mediaproxy::test
