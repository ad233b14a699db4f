// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <memory>

#include "base/result.hpp"
#include "config/config.hpp"

namespace mediaproxy::app
{

/// The whole daemon: makes every room in the order in which they need each other, joins them, obeys
/// signals, and takes them down in reverse. [core thread]
class Daemon
{
public:
    /// Takes locks, opens the store, binds sockets. The error is one sentence that says what to
    /// look at. Folders in `config` are absolute.
    static Result<std::unique_ptr<Daemon>> create(asio::io_context& io, config::Config config);
    ~Daemon();

    /// Begins to serve; io.run() returns when a signal has stopped it. Then the service manager
    /// knows.
    void start();

private:
    class State;
    explicit Daemon(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

} // namespace mediaproxy::app
