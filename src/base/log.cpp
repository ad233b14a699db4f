// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/log.hpp"

#include <atomic>
#include <cstdio>
#include <mutex>

namespace mediaproxy::log
{

namespace
{

std::atomic<Level> threshold{Level::info};
std::mutex sink_mutex;

void to_standard_error(Level, std::string_view line)
{
    std::fprintf(stderr, "%.*s\n", static_cast<int>(line.size()), line.data());
}

Sink& current_sink()
{
    static Sink sink = to_standard_error;
    return sink;
}

} // namespace

void set_sink(Sink sink)
{
    const std::lock_guard lock(sink_mutex);
    current_sink() = sink ? std::move(sink) : Sink(to_standard_error);
}

void set_level(Level level) noexcept
{
    threshold.store(level, std::memory_order_relaxed);
}

Level level() noexcept
{
    return threshold.load(std::memory_order_relaxed);
}

void write(Level level, std::string_view line)
{
    const std::lock_guard lock(sink_mutex);
    current_sink()(level, line);
}

} // namespace mediaproxy::log
