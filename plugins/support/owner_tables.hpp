// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "support/nft_batch.hpp"

namespace mediaproxy::plugin_support
{

/// Beginning of the name of every daemon's tables.
inline constexpr std::string_view table_prefix = "mediaproxyd_";

/// What each back end calls the tables of this owner: names that nft(8) can read back, and no other
/// owner's.
std::string conntrack_table(std::string_view owner);
std::string nftables_table(std::string_view owner);

/// Deletes the tables that a predecessor left which used that other back end and was killed: else
/// the kernel would go on with its flows, which nobody knows any more. False: there were none.
bool drop_conntrack_table(NftBatch& batch, std::string_view owner);
bool drop_nftables_tables(NftBatch& batch, std::string_view owner);

/// A number for an owner's name (FNV-1a), never 0.
constexpr std::uint32_t fingerprint(std::string_view owner)
{
    std::uint32_t hash = 2166136261U;
    for (const char c : owner)
        hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
    return hash != 0 ? hash : 1;
}

/// Eight digits for a text, the same in every build.
std::string digest(std::string_view text);

} // namespace mediaproxy::plugin_support
