// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <string>

#include "plugin_host.hpp"

namespace forwarding_test
{

constexpr std::uint64_t ipv4_headers = 28;
constexpr std::uint64_t ipv6_headers = 48;

inline SettingList engine(const std::string& name, const SettingList& more = {})
{
    SettingList result{{"engine", name}, {"threads", "1"}};
    result.insert(result.end(), more.begin(), more.end());
    return result;
}

inline std::size_t open_descriptors()
{
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
        ++count;
    return count;
}

} // namespace forwarding_test
