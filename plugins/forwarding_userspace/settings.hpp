// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>

#include <mediaproxy/plugin.h>

namespace forwarding_userspace
{

enum class EngineChoice { automatic, io_uring, epoll };
enum class Gso { automatic, off };

/// What the plugin's own TOML table may say.
struct Settings {
    unsigned threads = 0; ///< after parse_settings() at least 1
    EngineChoice engine = EngineChoice::automatic;
    Gso gso = Gso::automatic;
};

/// Nothing when a setting is wrong; `error` then names it.
std::optional<Settings> parse_settings(const mp_setting* settings, std::uint32_t count,
                                       mp_error& error);

} // namespace forwarding_userspace
