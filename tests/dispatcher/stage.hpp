// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <chrono>
#include <memory>
#include <string>

#include "base/unique_fd.hpp"
#include "dispatcher/dispatcher.hpp"
#include "fakes.hpp"

/// A folder in /tmp that goes with the object.
struct TemporaryFolder {
    TemporaryFolder();
    ~TemporaryFolder();
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;
    std::string path;
};

/// Runs the loop until `done`, for ten seconds at most; whether it is done.
template <class Done>
bool run_until(asio::io_context& io, Done done)
{
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    io.restart();
    while (!done() && std::chrono::steady_clock::now() < end)
        io.run_one_for(std::chrono::milliseconds(20));
    return done();
}

/// A client of a socket, without blocking: what a test writes and what came back.
class Client
{
public:
    explicit Client(asio::io_context& io) : io_(io) {}
    static Client to_path(asio::io_context& io, const std::string& path);
    static Client to_port(asio::io_context& io, mediaproxy::net::Port port);

    Client& send(std::string_view bytes);
    /// The next line, its CRLF cut off; "(nothing)" after ten seconds, "(closed)" at the end.
    std::string line();
    /// Everything up to and including `end`.
    std::string until(std::string_view end);
    bool closed();
    void close() { socket_.reset(); }
    void half_close();
    const std::string& received() const { return received_; }
    /// Reads what is there now.
    void poll();
    int descriptor() const { return socket_.get(); }

private:
    asio::io_context& io_;
    mediaproxy::UniqueFd socket_;
    std::string received_;
    bool ended_ = false;
};

/// What the SIP proxy writes.
struct Message {
    std::string type = "request";
    std::string call_id = "call-1", cseq = "1", from_tag = "ftag", to_tag;
    std::string media = "audio:192.0.2.10:5000:sendrecv:ice=no";
    std::string media_relay, user_agent = "Phone/1", signaling_ip = "192.0.2.10";
    std::string dialog_id = "1a2b:3c4d";
    std::string text() const;
};
std::string remove_text(const std::string& call_id = "call-1", const std::string& from_tag = "ftag",
                        const std::string& to_tag = "ttag");

/// A dispatcher with its surroundings.
struct Stage {
    /// `context` null: relays come without TLS.
    explicit Stage(mediaproxy::dispatcher::Options wanted = quick(),
                   std::shared_ptr<mediaproxy::tls::Context> context = nullptr);
    ~Stage();
    /// Short deadlines, no fixed ports.
    static mediaproxy::dispatcher::Options quick();

    /// Ends the dispatcher (what is in `store` stays) and starts it again.
    void restart();
    void stop();
    void start();
    Client proxy() { return Client::to_path(io, socket_path()); }
    Client management();
    std::string socket_path() const { return folder.path + "/dispatcher.sock"; }
    /// What the control socket answers.
    std::string ask(const std::string& text) { return proxy().send(text).line(); }
    template <class Done>
    bool run_until(Done done)
    {
        return ::run_until(io, done);
    }

    asio::io_context io{1};
    TemporaryFolder folder;
    FakeStore store;
    FakeSink sink;
    mediaproxy::dispatcher::Options options;
    std::shared_ptr<mediaproxy::tls::Context> tls;
    std::unique_ptr<mediaproxy::dispatcher::Dispatcher> dispatcher;
};
