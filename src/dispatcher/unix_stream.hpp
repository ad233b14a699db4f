// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <memory>
#include <string_view>

#include "base/unique_fd.hpp"
#include "tls/link.hpp"

namespace mediaproxy::dispatcher
{

/// A connected UNIX stream socket that behaves as tls::Link does, for the management interface on a
/// path. [core thread]
class UnixStream
{
public:
    /// `socket` is non-blocking. The owner must outlive the stream or close() it.
    static std::shared_ptr<UnixStream> start(asio::io_context& io, UniqueFd socket,
                                             tls::Link::Owner& owner);
    ~UnixStream();

    void write(std::string_view bytes);
    std::size_t backlog() const noexcept;
    void close();

private:
    UnixStream() = default;
    class State;
    std::shared_ptr<State> state_;
};

} // namespace mediaproxy::dispatcher
