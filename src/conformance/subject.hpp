// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

#include "base/time.hpp"
#include "plugin/source.hpp"

namespace mediaproxy::conformance
{

/// The plugin under examination and what it is given.
struct Subject {
    std::string file; ///< absolute
    std::string dir;
    plugin::Kind kind = plugin::Kind::accounting;
    std::string name; ///< of the plugin, as its file says
    std::vector<plugin::Setting> settings;
    std::string state_dir;        ///< a temporary folder
    std::string run;              ///< in every record_id, so that two runs do not meet
    std::string version;          ///< of the daemon
    Milliseconds patience{30000}; ///< for one call
};

} // namespace mediaproxy::conformance
