// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "net/endpoint.hpp"
#include "tls/context.hpp"
#include "tls/passport.hpp"

namespace mediaproxy::tls
{

/// One TCP connection, under TLS or plain, as a stream of bytes: the link between dispatcher and
/// relay and the management interface. TLS is OpenSSL on two memory BIOs; what is written during
/// one turn of the loop leaves in one record and one send at its end (CONTROL 3). TCP_NODELAY is
/// on. The peer is verified again every Context::verify_interval(). [core thread]
class Link
{
public:
    /// Owner of a link. No call comes from inside start(), write(), flush() or close(); on_close
    /// comes once, last, and not after close() by the owner. Inside a call the owner may close()
    /// the link, drop it and go itself.
    class Owner
    {
    public:
        virtual ~Owner() = default;
        virtual void on_open() = 0; ///< handshake done, peer accepted
        virtual void on_bytes(std::string_view bytes) = 0;
        virtual void on_close(const Error& why) = 0;
    };
    enum class Side { client, server };

    /// `context` null: plain TCP, `passport` is not looked at then. `socket` is connected. The
    /// owner must outlive the link or close() it; the destructor closes too. Begins the handshake,
    /// which must be done within `handshake_timeout`.
    static std::shared_ptr<Link> start(asio::ip::tcp::socket socket, Side side,
                                       std::shared_ptr<Context> context, Passport passport,
                                       Owner& owner, Seconds handshake_timeout = Seconds{10});
    ~Link();

    /// Queues bytes; they leave at the end of this turn of the loop, or when the handshake is done.
    void write(std::string_view bytes);
    /// Sends what is queued now.
    void flush();
    /// Bytes that the peer has not taken yet: a limit for who writes much.
    std::size_t backlog() const noexcept;
    /// Bytes of the connection so far, as they are on the wire, without what is queued. Counts what
    /// the socket has not taken yet, too.
    std::uint64_t bytes_sent() const noexcept;
    /// How many of these the peer's host has acknowledged; its program need not have read them yet.
    /// 0 once the link is closed.
    std::uint64_t bytes_arrived() const noexcept;
    /// Sends what is queued as far as the socket takes it, then closes; no further call to the
    /// owner.
    void close();

    const net::Endpoint& remote() const noexcept;
    const net::Endpoint& local() const noexcept;
    /// "TLSv1.3 TLS_AES_256_GCM_SHA384", or "plain".
    std::string protocol() const;
    /// The CN of the peer's certificate; empty when plain.
    std::string peer_name() const;

private:
    Link();
    class State;
    std::shared_ptr<State> state_; ///< shared with what waits on the socket
};

} // namespace mediaproxy::tls
