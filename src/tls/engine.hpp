// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "tls/certificate.hpp"
#include "tls/context.hpp"

namespace mediaproxy::tls
{

/// One side of a TLS connection between two memory buffers; knows no socket. Bytes from the peer go
/// in by feed(), bytes for the peer lie in output(). [core thread]
class Engine
{
public:
    enum class Side { client, server };
    static Result<Engine> create(Context& context, Side side);

    /// Bytes that came from the peer.
    void feed(std::string_view encrypted);
    /// Goes on with the handshake; true: done. The error says why the peer is refused, or why it
    /// refused us; output() may hold an alert for it then.
    Result<bool> handshake();
    /// The next plain bytes into `buffer`; 0: nothing more for now. closed() may be true then.
    Result<std::size_t> read(std::span<char> buffer);
    /// Encrypts the beginning of `plain`, most_written bytes at most, into output(): it is to be
    /// taken before more is written, or it grows. How many bytes these were.
    Result<std::size_t> write(std::string_view plain);
    static constexpr std::size_t most_written = 1 << 16;
    /// Puts close_notify into output().
    void shutdown();
    bool closed() const noexcept { return closed_; } ///< the peer sent close_notify

    std::string_view output() const noexcept;
    /// output() is empty then.
    void output_taken();

    SSL* connection() const noexcept { return ssl_.get(); }
    std::vector<Passport::Attribute> peer_subject() const;
    std::string peer_name() const;
    std::string protocol() const;

private:
    Engine() = default;
    Error failure(int result) const;

    std::unique_ptr<SSL, Free<SSL_free>> ssl_;
    BIO* in_ = nullptr;  ///< owned by ssl_
    BIO* out_ = nullptr; ///< owned by ssl_
    bool closed_ = false;
};

} // namespace mediaproxy::tls
