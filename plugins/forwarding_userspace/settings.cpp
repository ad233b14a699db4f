// SPDX-License-Identifier: GPL-2.0-or-later
#include "settings.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string_view>
#include <thread>

namespace forwarding_userspace
{
namespace
{

constexpr unsigned most_threads = 64;
constexpr unsigned usual_threads = 4;

bool parse_threads(std::string_view text, unsigned& threads)
{
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), threads);
    return problem == std::errc{} && end == text.data() + text.size() && threads >= 1 &&
           threads <= most_threads;
}

bool parse_engine(std::string_view text, EngineChoice& engine)
{
    if (text == "auto")
        engine = EngineChoice::automatic;
    else if (text == "io_uring")
        engine = EngineChoice::io_uring;
    else if (text == "epoll")
        engine = EngineChoice::epoll;
    else
        return false;
    return true;
}

bool parse_gso(std::string_view text, Gso& gso)
{
    if (text != "auto" && text != "off")
        return false;
    gso = text == "auto" ? Gso::automatic : Gso::off;
    return true;
}

const char* apply(const mp_setting& setting, Settings& result)
{
    const std::string_view key = setting.key;
    if (key == "threads")
        return parse_threads(setting.value, result.threads) ? nullptr : "a number from 1 to 64";
    if (key == "engine")
        return parse_engine(setting.value, result.engine) ? nullptr
                                                          : "\"auto\", \"io_uring\" or \"epoll\"";
    if (key == "gso")
        return parse_gso(setting.value, result.gso) ? nullptr : "\"auto\" or \"off\"";
    return "left out: there is no such setting";
}

} // namespace

std::optional<Settings> parse_settings(const mp_setting* settings, std::uint32_t count,
                                       mp_error& error)
{
    Settings result;
    for (std::uint32_t i = 0; i < count; ++i) {
        const char* expected = apply(settings[i], result);
        if (expected == nullptr)
            continue;
        std::snprintf(error.message, sizeof error.message, "%.40s = \"%.80s\": it must be %s",
                      settings[i].key, settings[i].value, expected);
        return std::nullopt;
    }
    if (result.threads == 0)
        result.threads = std::clamp(std::thread::hardware_concurrency(), 1U, usual_threads);
    return result;
}

} // namespace forwarding_userspace
