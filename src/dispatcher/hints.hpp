// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "dispatcher/session_directory.hpp"
#include "protocol/session_report.hpp"

namespace mediaproxy::dispatcher
{

/// Sessions that a relay listed and that are not ours: a 4.x relay does not say whose they are. The
/// next update or remove of such a call is tried there first. [pure]
class Hints
{
public:
    struct Hint {
        std::string from_tag; ///< of the session
        RelayId relay = 0;
    };
    /// Forgets what that relay listed earlier.
    void clear(RelayId relay);
    void add(std::string_view call_id, std::string_view from_tag, RelayId relay);
    /// By either tag of a message; null: none.
    const Hint* find(std::string_view call_id, std::string_view from_tag,
                     std::string_view to_tag) const;
    void erase(std::string_view call_id, std::string_view from_tag);
    std::size_t size() const noexcept { return hints_.size(); }

private:
    std::unordered_multimap<std::string, Hint> hints_;
};

} // namespace mediaproxy::dispatcher
