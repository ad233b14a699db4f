// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "elements.hpp"
#include "settings.hpp"

namespace forwarding_nftables
{

/// What this instance's tables are called and look like. Prerouting: a table in each of the
/// families ip and ip6. On devices: one table in the family netdev, with a map for each of IPv4
/// and IPv6.
class Layout
{
public:
    Layout(std::string_view owner, Settings settings);

    const Settings& settings() const noexcept { return settings_; }
    const char* table() const noexcept { return table_.c_str(); }
    /// Comment of the tables. A table with another one was made by another version of the plugin
    /// or with other settings, and is not taken over.
    const std::string& comment() const noexcept { return comment_; }
    MapPlace place(Family family) const noexcept;

private:
    Settings settings_;
    std::string table_;
    std::string comment_;
};

} // namespace forwarding_nftables
