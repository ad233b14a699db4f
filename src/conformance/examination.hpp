// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "plugin/source.hpp"

namespace mediaproxy::conformance
{

/// What --check-plugin is asked for.
struct Request {
    std::string file;
    std::vector<plugin::Setting> settings;
    std::string version; ///< of the daemon
    Milliseconds patience{30000};
};

/// Loads the plugin, walks its life cycle and holds it to the rules of the ABI; `print` gets a line
/// for each check and one at the end. True when nothing was found to be wrong. The calling process
/// must have one thread.
bool examine(const Request& request, const std::function<void(std::string_view)>& print);

} // namespace mediaproxy::conformance
