// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include <mediaproxy/plugin.h>

#include "base/result.hpp"
#include "plugin/source.hpp"

namespace mediaproxy::plugin
{

/// A plugin's settings in the form in which it reads them.
class Settings
{
public:
    /// Holds `settings` against the keys that the plugin knows; an unknown one is an error that
    /// names it and the nearest known key. `X_file` is read (one line, at most 64 KiB) and becomes
    /// `X` when the plugin knows X and not X_file; a relative path of it is below `folder`.
    static Result<Settings> prepare(const mp_plugin& plugin, std::string_view instance,
                                    const std::vector<Setting>& settings,
                                    const std::string& folder);

    /// Valid as long as this object; empty for no settings.
    std::span<const mp_setting> abi() const noexcept { return abi_; }

private:
    std::vector<std::unique_ptr<Setting>> owned_;
    std::vector<mp_setting> abi_;
};

} // namespace mediaproxy::plugin
