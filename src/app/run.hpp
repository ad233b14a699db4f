// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "app/command_line.hpp"

namespace mediaproxy::app
{

/// Does what the command line asks for; returns the exit status.
int run(const CommandLine& line);

} // namespace mediaproxy::app
