// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string_view>

namespace forwarding_conntrack
{

/// A number for an owner's name (FNV-1a), never 0: marks its entries.
constexpr std::uint32_t fingerprint(std::string_view owner)
{
    std::uint32_t hash = 2166136261U;
    for (const char c : owner)
        hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    return hash != 0 ? hash : 1;
}

} // namespace forwarding_conntrack
