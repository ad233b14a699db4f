// SPDX-License-Identifier: GPL-2.0-or-later
#include "settings.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

namespace mediaproxy::accounting_radius
{

namespace
{

struct TextSetting {
    std::string_view key;
    std::string Settings::*member;
};

constexpr std::array text_settings{
    TextSetting{"config_file", &Settings::config_file},
    TextSetting{"additional_dictionary", &Settings::additional_dictionary},
    TextSetting{"acct_status_type", &Settings::acct_status_type},
    TextSetting{"record_id_attribute", &Settings::record_id_attribute},
};

/// What is wrong with the setting, if anything.
std::optional<Failure> apply(Settings& settings, std::string_view key, std::string_view value)
{
    if (key == "event_timestamp") {
        settings.event_timestamp = value == "true";
        if (settings.event_timestamp || value == "false")
            return std::nullopt;
        return Failure{"event_timestamp: neither true nor false: " + std::string(value)};
    }
    const auto* const row =
        std::find_if(text_settings.begin(), text_settings.end(),
                     [&](const TextSetting& setting) { return setting.key == key; });
    if (row == text_settings.end())
        return Failure{std::string(key) + ": unknown setting"};
    if (value.empty() && key != "record_id_attribute")
        return Failure{std::string(key) + ": empty"};
    settings.*row->member = value;
    if (key == "additional_dictionary" && !value.starts_with('/'))
        settings.additional_dictionary = CONFIGURATION_FOLDER "/" + std::string(value);
    return std::nullopt;
}

} // namespace

Result<Settings> read_settings(std::span<const mp_setting> settings)
{
    Settings result;
    for (const mp_setting& setting : settings) {
        if (auto wrong = apply(result, setting.key, setting.value))
            return *std::move(wrong);
    }
    return result;
}

} // namespace mediaproxy::accounting_radius
