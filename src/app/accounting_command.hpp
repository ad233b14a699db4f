// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <string_view>

#include "app/command_line.hpp"
#include "base/result.hpp"
#include "config/config.hpp"

namespace mediaproxy::app
{

/// Where the dispatcher, or both roles in one process, keep what must survive.
std::string dispatcher_store(const config::Config& config);

/// `mediaproxyd --accounting`: works on the store's file, whether a daemon uses it or not. Prints
/// line by line.
Result<void> run_accounting(const CommandLine::Accounting& wanted, const config::Config& config,
                            const std::function<void(std::string_view line)>& print);

} // namespace mediaproxy::app
