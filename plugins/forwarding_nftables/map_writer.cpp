// SPDX-License-Identifier: GPL-2.0-or-later
#include "map_writer.hpp"

#include <algorithm>
#include <cerrno>

#include <linux/netfilter/nf_tables.h>

namespace forwarding_nftables
{
namespace
{

constexpr std::size_t most_changes = 1000; ///< of a transaction: what fits into its buffer

std::uint16_t flags_of(std::uint16_t type)
{
    // The echo of a deletion has the last counters. Nobody acknowledges: errors come anyway.
    return type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE | NLM_F_EXCL : NLM_F_ECHO;
}

} // namespace

MapWriter::Change MapWriter::change(std::uint16_t type, const Flow& flow)
{
    Change result{type, flags_of(type), flow.family, flow.ways.size(), {}, {}};
    for (std::size_t side = 0; side < flow.ways.size(); ++side) {
        result.keys[side] = flow.ways[side].key;
        result.data[side] = flow.ways[side].data;
    }
    return result;
}

MapWriter::Change MapWriter::change(std::uint16_t type, const Flow& flow, std::size_t side)
{
    return {type, flags_of(type), flow.family, 1, {flow.ways[side].key}, {flow.ways[side].data}};
}

MapWriter::NftBatch::Outcome MapWriter::attempt(std::span<Change> changes,
                                                const OnElement& on_element)
{
    batch_.begin();
    for (Change& change : changes) {
        if (change.error != 0)
            continue;
        const MapPlace place = layout_.place(change.family);
        nlmsghdr& message = batch_.add(change.type, place.protocol, change.flags);
        change.sequence = batch_.sequence();
        const bool with_data = change.type == NFT_MSG_NEWSETELEM;
        put_elements(message, place, {change.keys.data(), change.count},
                     {change.data.data(), with_data ? change.count : 0});
    }
    const auto outcome = batch_.commit([&](const nlmsghdr& message) {
        if (on_element)
            for_each_element(message, on_element);
    });
    commits_ += outcome.ok() ? 1 : 0;
    return outcome;
}

void MapWriter::carry_out(std::span<Change> changes, const OnElement& on_element)
{
    while (!changes.empty()) {
        const auto some = changes.first(std::min(changes.size(), most_changes));
        const auto open = [](const Change& change) { return change.error == 0; };
        while (std::any_of(some.begin(), some.end(), open)) {
            const auto outcome = attempt(some, on_element);
            if (outcome.ok())
                break;
            bool found = false;
            auto culprit = some.begin(); // both are in the order of the messages
            for (const auto& refusal : batch_.refusals()) {
                const auto next = std::find_if(culprit, some.end(), [&](const Change& each) {
                    return each.error == 0 && each.sequence == refusal.sequence;
                });
                if (next == some.end())
                    continue;
                culprit = next;
                culprit->error = refusal.error;
                found = true;
            }
            if (found)
                continue;
            for (Change& change : some)
                change.error = change.error != 0 ? change.error : outcome.error;
        }
        changes = changes.subspan(some.size());
    }
}

void MapWriter::add(std::span<Flow* const> flows, std::span<int> errors)
{
    std::vector<Change> changes;
    changes.reserve(flows.size());
    for (const Flow* flow : flows)
        changes.push_back(change(NFT_MSG_NEWSETELEM, *flow));
    carry_out(changes);
    for (std::size_t i = 0; i < flows.size(); ++i)
        errors[i] = changes[i].error;
}

void MapWriter::add_ways(std::span<const FlowTable::Place> ways, std::span<int> errors)
{
    std::vector<Change> changes;
    changes.reserve(ways.size());
    for (const FlowTable::Place& way : ways)
        changes.push_back(change(NFT_MSG_NEWSETELEM, *way.flow, way.side));
    carry_out(changes);
    for (std::size_t i = 0; i < ways.size(); ++i)
        errors[i] = changes[i].error;
}

bool MapWriter::remove_at_once(std::span<Flow* const> flows)
{
    constexpr std::size_t most = 200; // the length of a list of elements has 16 bits
    std::vector<Way*> ways;           // in the order of the messages, which is that of the answers
    std::vector<Key> keys;
    batch_.begin();
    for (const Family family : {Family::ipv4, Family::ipv6}) {
        const auto put = [&] {
            if (keys.empty())
                return;
            const MapPlace place = layout_.place(family);
            put_elements(batch_.add(NFT_MSG_DELSETELEM, place.protocol, NLM_F_ECHO), place, keys,
                         {});
            keys.clear();
        };
        for (Flow* flow : flows) {
            if (flow->family != family)
                continue;
            for (Way& way : flow->ways) {
                ways.push_back(&way);
                keys.push_back(way.key);
            }
            if (keys.size() >= 2 * most)
                put();
        }
        put();
    }
    auto next = ways.begin();
    const auto outcome = batch_.commit([&](const nlmsghdr& message) {
        for_each_element(
            message, [&](const Key& key, std::span<const std::byte>, const mp_traffic& counted) {
                const auto is_it = [&](const Way* way) { return way->key == key; };
                auto found = std::find_if(next, ways.end(), is_it);
                if (found == ways.end())
                    found = std::find_if(ways.begin(), next, is_it);
                if (found == ways.end())
                    return;
                (*found)->count(counted);
                next = found + 1;
            });
    });
    commits_ += outcome.ok() ? 1 : 0;
    return outcome.ok();
}

void MapWriter::remove(std::span<Flow* const> flows)
{
    if (flows.size() <= most_changes && remove_at_once(flows))
        return;
    std::vector<Change> changes;
    changes.reserve(flows.size());
    for (const Flow* flow : flows)
        changes.push_back(change(NFT_MSG_DELSETELEM, *flow));
    const OnElement on_element = [&](const Key& key, std::span<const std::byte>,
                                     const mp_traffic& counted) {
        if (const auto [flow, side] = flows_.find(key); flow != nullptr)
            flow->ways[side].count(counted);
    };
    carry_out(changes, on_element);

    // One way of these is not there, perhaps the other one is.
    std::vector<Change> halves;
    for (std::size_t i = 0; i < flows.size(); ++i) {
        if (changes[i].error == 0)
            continue;
        for (std::size_t side = 0; side < flows[i]->ways.size(); ++side)
            halves.push_back(change(NFT_MSG_DELSETELEM, *flows[i], side));
    }
    carry_out(halves, on_element);
}

void MapWriter::remove(Family family, std::span<const Key> keys)
{
    std::vector<Change> changes;
    for (const Key& key : keys)
        changes.push_back({NFT_MSG_DELSETELEM, 0, family, 1, {key}, {}});
    carry_out(changes);
}

int MapWriter::exchange(Flow& from, Flow& to)
{
    Flow* const old = &from;
    Flow* const fresh = &to;
    remove({&old, 1});
    for (Way& way : from.ways)
        way.close();
    int refused = 0;
    add({&fresh, 1}, {&refused, 1});
    return refused;
}

} // namespace forwarding_nftables
