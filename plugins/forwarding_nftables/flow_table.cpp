// SPDX-License-Identifier: GPL-2.0-or-later
#include "flow_table.hpp"

#include <utility>

namespace forwarding_nftables
{

bool FlowTable::has_room_for(const Flow& flow) const noexcept
{
    if (flow.ways[0].key == flow.ways[1].key)
        return false;
    for (const Way& way : flow.ways) {
        const Flow* other = find(way.key).flow;
        if (other != nullptr && other->id != flow.id)
            return false;
    }
    return true;
}

Flow& FlowTable::add(std::unique_ptr<Flow> flow)
{
    Flow& added = *flow;
    for (std::size_t side = 0; side < added.ways.size(); ++side)
        places_[added.ways[side].key] = {&added, side};
    flows_[added.id] = std::move(flow);
    return added;
}

std::unique_ptr<Flow> FlowTable::take(mp_flow_id id)
{
    auto node = flows_.extract(id);
    if (node.empty())
        return nullptr;
    for (const Way& way : node.mapped()->ways)
        places_.erase(way.key);
    return std::move(node.mapped());
}

} // namespace forwarding_nftables
