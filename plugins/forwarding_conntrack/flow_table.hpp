// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <set>
#include <unordered_map>
#include <vector>

#include "flow.hpp"

namespace forwarding_conntrack
{

/// The installed flows by id. No two share a local endpoint: it can be switched for one only.
class FlowTable
{
public:
    Flow* find(mp_flow_id id) const
    {
        const auto found = flows_.find(id);
        return found == flows_.end() ? nullptr : found->second.get();
    }
    bool uses(const mp_endpoint& local) const { return locals_.contains(key(local)); }
    std::size_t size() const { return flows_.size(); }

    std::size_t count(std::uint8_t family) const
    {
        return static_cast<std::size_t>(
            std::count_if(flows_.begin(), flows_.end(),
                          [&](auto& each) { return each.second->family() == family; }));
    }

    Flow* add(std::unique_ptr<Flow> flow)
    {
        Flow* added = flow.get();
        locals_.insert({key(flow->caller_local), key(flow->callee_local)});
        flows_.emplace(flow->id, std::move(flow));
        return added;
    }

    void erase(mp_flow_id id)
    {
        const auto found = flows_.find(id);
        if (found == flows_.end())
            return;
        locals_.erase(key(found->second->caller_local));
        locals_.erase(key(found->second->callee_local));
        flows_.erase(found);
    }

    std::vector<mp_flow_id> ids() const
    {
        std::vector<mp_flow_id> result;
        result.reserve(flows_.size());
        for (const auto& [id, flow] : flows_)
            result.push_back(id);
        return result;
    }

private:
    using Key = std::array<std::uint8_t, 19>;

    static Key key(const mp_endpoint& endpoint)
    {
        Key result{};
        result[0] = endpoint.family;
        result[1] = static_cast<std::uint8_t>(endpoint.port >> 8);
        result[2] = static_cast<std::uint8_t>(endpoint.port);
        std::copy_n(endpoint.address, address_size(endpoint), result.begin() + 3);
        return result;
    }

    std::unordered_map<mp_flow_id, std::unique_ptr<Flow>> flows_;
    std::set<Key> locals_;
};

} // namespace forwarding_conntrack
