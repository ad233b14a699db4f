// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <mediaproxy/plugin.h>

#include "base/result.hpp"
#include "plugin/source.hpp"

namespace mediaproxy::plugin
{

/// A loaded plugin file whose constant passed every check that needs none of its code.
class Library
{
public:
    /// Loads DIR/KIND_NAME.so. Refused, with a sentence: no such file or not loadable, no
    /// `mediaproxy_plugin`, another ABI major, too short a struct, another name.
    static Result<Library> open(const std::string& dir, Kind kind, std::string_view name);

    const mp_plugin& plugin() const noexcept { return *plugin_; }

private:
    struct Unload {
        void operator()(void* handle) const noexcept;
    };
    Library(void* handle, const mp_plugin* plugin) : handle_(handle), plugin_(plugin) {}

    std::unique_ptr<void, Unload> handle_;
    const mp_plugin* plugin_;
};

/// Asks the plugin for an interface and checks that it is complete. This runs the plugin's code.
Result<const void*> find_interface(const mp_plugin& plugin, Kind kind);

/// For --check: the plugin can be loaded and has these settings. No instance is made.
Result<void> check(Kind kind, const PluginSource& source);

/// A line of --list-plugins.
struct Listing {
    std::string file;
    std::string kind;
    std::string name, version, description;
    std::string refused; ///< why it would not be loaded; empty when it would
};

/// Every .so in `dir`, in the order of their names.
Result<std::vector<Listing>> list_plugins(const std::string& dir);

} // namespace mediaproxy::plugin
