// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <span>
#include <string>
#include <vector>

#include <mediaproxy/types.h>

#include "conformance/stage.hpp"

namespace mediaproxy::conformance
{

/// One line of the report.
struct Check {
    std::string name;
    std::function<void(Stage&)> run;
    bool gate = false; ///< when it fails or cannot be made the checks behind it make no sense
};

/// Of any plugin: the file, the constant, its strings.
std::vector<Check> general_checks();
std::vector<Check> accounting_checks();
std::vector<Check> forwarding_checks();

/// Hands `judge` each setting of the plugin with each value that nobody expects, among the others
/// that the subject has.
void for_each_odd_setting(
    Stage& stage, const mp_plugin& plugin,
    const std::function<void(std::span<const mp_setting>, std::string_view key)>& judge);

/// Lets `cycle` make an instance, use and destroy it, several times, and tells what is left of it.
void look_for_leftovers(Stage& stage, const std::function<void()>& cycle);

} // namespace mediaproxy::conformance
