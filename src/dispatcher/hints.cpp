// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/hints.hpp"

namespace mediaproxy::dispatcher
{

void Hints::clear(RelayId relay)
{
    std::erase_if(hints_, [&](const auto& entry) { return entry.second.relay == relay; });
}

void Hints::add(std::string_view call_id, std::string_view from_tag, RelayId relay)
{
    hints_.emplace(std::string(call_id), Hint{std::string(from_tag), relay});
}

const Hints::Hint* Hints::find(std::string_view call_id, std::string_view from_tag,
                               std::string_view to_tag) const
{
    if (hints_.empty())
        return nullptr;
    const auto [begin, end] = hints_.equal_range(std::string(call_id));
    for (auto at = begin; at != end; ++at) {
        if (at->second.from_tag == from_tag || at->second.from_tag == to_tag)
            return &at->second;
    }
    return nullptr;
}

void Hints::erase(std::string_view call_id, std::string_view from_tag)
{
    if (hints_.empty())
        return;
    const auto [begin, end] = hints_.equal_range(std::string(call_id));
    for (auto at = begin; at != end; ++at) {
        if (at->second.from_tag == from_tag) {
            hints_.erase(at);
            return;
        }
    }
}

} // namespace mediaproxy::dispatcher
