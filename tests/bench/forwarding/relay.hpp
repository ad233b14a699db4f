// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "plan.hpp"

namespace forwarding_bench
{

/// Opens the relay's sockets, relays until the board says stop. Runs in a process of its own.
void run_relay(Board& board, const Case& plan, const std::string& plugin);

/// Cycles a second of installing one flow and removing it again, no packets in between.
double flow_cycles(const std::string& plugin, Relay engine, double seconds);

} // namespace forwarding_bench
