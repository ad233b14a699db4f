// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.hpp"
#include "config/value.hpp"

namespace mediaproxy::config
{

/// One setting: where it stands, what it may be, and its place in Config.
struct Key {
    std::string_view table; ///< "" at the top of the file
    std::string_view name;
    std::string allowed; ///< completes "must be ..."
    enum class Verdict { taken, refused };
    std::function<Verdict(Config&, const Value&)> read;
    std::function<std::string(const Config&)> print; ///< the value as TOML
};

/// Every setting, in the order of the sample file.
const std::vector<Key>& keys();

} // namespace mediaproxy::config
