// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <fmt/core.h>
#include <functional>
#include <string_view>

/// One event, one line, the subject first. Levels mean actions: error = act now, warning = look
/// today. Never called per packet. All functions may be called from any thread.
namespace mediaproxy::log
{

enum class Level { critical, error, warning, info, debug };

/// Where finished lines go: standard error until the daemon chooses syslog or the journal. It is
/// process-wide, as standard error is; the sink is called by one thread at a time.
using Sink = std::function<void(Level, std::string_view line)>;

void set_sink(Sink sink);
void set_level(Level level) noexcept;
Level level() noexcept;
inline bool enabled(Level wanted) noexcept
{
    return wanted <= level();
}
void write(Level level, std::string_view line);

template <class... Args>
void error(fmt::format_string<Args...> text, Args&&... args)
{
    if (enabled(Level::error))
        write(Level::error, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> text, Args&&... args)
{
    if (enabled(Level::warning))
        write(Level::warning, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> text, Args&&... args)
{
    if (enabled(Level::info))
        write(Level::info, fmt::format(text, std::forward<Args>(args)...));
}
template <class... Args>
void debug(fmt::format_string<Args...> text, Args&&... args)
{
    if (enabled(Level::debug))
        write(Level::debug, fmt::format(text, std::forward<Args>(args)...));
}

} // namespace mediaproxy::log
