// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>

#include "dispatcher/unix_listener.hpp"

namespace mediaproxy::dispatcher
{

/// Hands over the connections of a UNIX listener. When descriptors run out it waits a moment
/// instead of spinning. [core thread]
class UnixAcceptor
{
public:
    /// `name` is for the log.
    UnixAcceptor(asio::io_context& io, std::string name, UnixListener listener,
                 std::function<void(UniqueFd)> accepted);
    ~UnixAcceptor();

    void start();
    void stop();

private:
    void wait();
    void accept_all();
    void pause(int reason);

    std::string name_;
    UnixListener listener_;
    std::function<void(UniqueFd)> accepted_;
    asio::posix::stream_descriptor descriptor_;
    asio::steady_timer pause_;
    bool listening_ = false;
    bool complained_ = false;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); ///< asked by a handler in flight
};

} // namespace mediaproxy::dispatcher
