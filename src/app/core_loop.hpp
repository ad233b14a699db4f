// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <chrono>

namespace mediaproxy::app
{

/// Runs `io` in the calling thread until it is stopped or has no work left. What escapes a handler
/// is logged and ends that handler, not the calls of everybody.
///
/// After work it goes on looking for more for `busy_poll` before it sleeps: to be woken by another
/// CPU takes longer than to answer a request, and the proxy's next one is often close behind the
/// answer. At most that much CPU time is spent a wake-up. Pass 0 where there is one CPU: whoever
/// has the work needs it.
void run_core_loop(asio::io_context& io, std::chrono::microseconds busy_poll);

} // namespace mediaproxy::app
