// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "config/config.hpp"

namespace mediaproxy::config
{

/// Reads the file. The error holds every problem, one a line, each "file:line: what, and what is
/// allowed".
Result<Config> load(const std::string& path);
/// The same from text; `name` stands for the file in messages.
Result<Config> parse(const std::string& text, const std::string& name);

/// What does not go together in this configuration, for the role that it has now; one sentence
/// each.
std::vector<std::string> contradictions(const Config& config);

/// The whole configuration as TOML; parse() makes the same of it.
std::string print_config(const Config& config);

} // namespace mediaproxy::config
