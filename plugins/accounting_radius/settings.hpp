// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <span>
#include <string>

#include <mediaproxy/types.h>

#include "result.hpp"

namespace mediaproxy::accounting_radius
{

/// As MediaProxy's; relative paths are below the folder that the sample configuration is installed
/// in.
inline constexpr const char* our_dictionary = CONFIGURATION_FOLDER "/radius/dictionary";

/// What the plugin's own table says; servers and secrets are in `config_file`.
struct Settings {
    std::string config_file = "/etc/opensips/radius/client.conf";
    std::string additional_dictionary = our_dictionary;
    std::string acct_status_type = "Update"; ///< a name in a dictionary, or a number
    std::string record_id_attribute;         ///< "": the record's id is not sent
    bool event_timestamp = false;
};

inline constexpr const char* setting_keys[] = {
    "config_file",         "additional_dictionary", "acct_status_type",
    "record_id_attribute", "event_timestamp",       nullptr,
};

Result<Settings> read_settings(std::span<const mp_setting> settings);

} // namespace mediaproxy::accounting_radius
