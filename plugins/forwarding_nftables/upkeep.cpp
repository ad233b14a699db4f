// SPDX-License-Identifier: GPL-2.0-or-later
// What keeps a Backend right while others change rules, maps, routes and sysctls.
#include <algorithm>
#include <cerrno>
#include <utility>

#include "backend.hpp"
#include "flow_maker.hpp"
#include "map_query.hpp"

namespace forwarding_nftables
{
namespace
{

constexpr std::size_t chores_a_turn = 200; ///< about a millisecond
constexpr std::size_t readings_a_piece = 256;

} // namespace

void Backend::read(std::uint64_t request)
{
    look_after_host();
    asked_.push_back(request);
    if (!dumping_)
        start_dump();
}

void Backend::look_after_host()
{
    mp_error problem{};
    if (!layout_.settings().on_devices() && environment_.hold(problem) != MP_OK) {
        for (const Family family : ruleset_.families())
            set_obstacle(family, problem.message);
        firewall_changed_ = true; // looks again, and takes the obstacle away, once it is set
        return;
    }
    const bool changed = others_changed_rules();
    firewall_changed_ = firewall_changed_ || changed;
    if ((changed || look_again_) && built_ && is_damaged())
        rebuild();
    if (firewall_changed_ && firewall_looks_.is_due())
        firewall_looks_.spend([&] { check_firewall(); });
}

/// Every transaction counts the generation up; what we did not do, others did.
bool Backend::others_changed_rules()
{
    const std::uint32_t generation = ruleset_.generation();
    const std::uint32_t commits = ruleset_.commits() + writer_.commits();
    const bool changed = generation - generation_ != commits - commits_;
    generation_ = generation;
    commits_ = commits;
    return changed;
}

/// What cannot be told now is looked at again with the next reading.
bool Backend::is_damaged()
{
    const Ruleset::Condition condition = ruleset_.condition();
    look_again_ = condition == Ruleset::Condition::unknown;
    return condition == Ruleset::Condition::damaged;
}

void Backend::rebuild()
{
    mp_error problem{};
    const bool first = std::exchange(built_, false); // else the log would have it every second
    if (first)
        host_.log(MP_LOG_WARNING,
                  std::string("the nftables table ") + layout_.table() +
                      " is not as it was made, or a device has changed; it is made again");
    count_once_more();
    built_ = ruleset_.build(problem) == MP_OK;
    if (!built_ && first)
        host_.log(MP_LOG_ERROR, problem.message);
    for (const auto& [id, flow] : flows_.all()) {
        flow->made_in = round_; // a dump under way has older counters of it
        add_chore(*flow, Chore::mend);
    }
}

/// What the maps have counted since they were last read goes with them.
void Backend::count_once_more()
{
    mp_error problem{};
    const auto dump = MapDump::open(problem); // dump_ may be at work
    if (dump == nullptr)
        return;
    for (const MapPlace& place : maps_in_use()) {
        auto step = dump->start({place});
        while (step == MapDump::Step::more) {
            step = dump->next(
                [&](const Key& key, std::span<const std::byte> data, const mp_traffic& counted) {
                    const auto [flow, side] = flows_.find(key);
                    if (flow != nullptr && std::ranges::equal(data, flow->ways[side].data.bytes()))
                        flow->ways[side].count(counted);
                });
        }
    }
}

void Backend::check_firewall()
{
    firewall_changed_ = false;
    for (const Family family : ruleset_.families()) {
        if (const auto sentence = firewall_.obstacle(family)) {
            set_obstacle(family, *sentence);
            continue;
        }
        firewall_changed_ = true;
        host_.log(MP_LOG_DEBUG, "the kernel does not tell the firewall's rules now; they are "
                                "looked at again");
    }
}

void Backend::set_obstacle(Family family, const std::string& sentence)
{
    std::string& present = obstacles_[static_cast<std::size_t>(family)];
    if (present == sentence)
        return;
    present = sentence;
    if (sentence.empty()) {
        host_.log(MP_LOG_INFO, std::string(family == Family::ipv4 ? "IPv4" : "IPv6") +
                                   " streams can be forwarded again");
        return;
    }
    host_.log(MP_LOG_WARNING, "streams stay with the relay: " + sentence);
    for (const auto& [id, flow] : flows_.all()) {
        if (flow->family == family)
            report_lost(*flow, MP_FLOW_FAILED);
    }
}

void Backend::report_lost(Flow& flow, std::uint32_t reason)
{
    if (!flow.lost)
        host_.lost(flow.id, reason);
    flow.lost = true;
}

std::vector<MapPlace> Backend::maps_in_use() const
{
    std::vector<MapPlace> places;
    for (const Family family : ruleset_.families()) {
        const bool used =
            std::any_of(flows_.all().begin(), flows_.all().end(),
                        [&](const auto& entry) { return entry.second->family == family; });
        if (used)
            places.push_back(layout_.place(family));
    }
    return places;
}

void Backend::start_dump()
{
    answering_ = std::exchange(asked_, {});
    ++round_;
    dumping_ = true;
    if (dump_->start(maps_in_use()) != MapDump::Step::more)
        finish_dump();
}

void Backend::on_dump()
{
    const auto step = dump_->next(
        [&](const Key& key, std::span<const std::byte> data, const mp_traffic& counted) {
            const FlowTable::Place place = flows_.find(key);
            // What the dump has of a flow that is younger may be a dead predecessor's.
            if (place.flow != nullptr && place.flow->made_in < round_)
                on_element(place, data, counted);
        });
    if (step != MapDump::Step::more && dumping_)
        finish_dump();
}

void Backend::on_element(const FlowTable::Place& place, std::span<const std::byte> data,
                         const mp_traffic& counted)
{
    Way& way = place.flow->ways[place.side];
    way.count(counted);
    way.seen_in = round_;
    if (!std::ranges::equal(data, way.data.bytes()))
        report_lost(*place.flow, MP_FLOW_DELETED);
}

/// A dump during which elements came and went may have missed one that is there: the kernel goes
/// on with a dump from the number of elements that it has told. Mending asks for it.
void Backend::finish_dump()
{
    dumping_ = false;
    const bool gone = dump_->error() == ENOENT;
    const bool complete = dump_->error() == 0;
    std::vector<mp_flow_reading> readings;
    readings.reserve(flows_.all().size());
    for (const auto& [id, flow] : flows_.all()) {
        readings.push_back(flow->reading());
        const bool missing = complete && flow->made_in < round_ &&
                             std::any_of(flow->ways.begin(), flow->ways.end(),
                                         [&](const Way& way) { return way.seen_in != round_; });
        if (missing)
            add_chore(*flow, Chore::mend);
    }
    if (gone)
        rebuild();
    // From here on the host may call us.
    for (const std::uint64_t request : std::exchange(answering_, {})) {
        std::span<const mp_flow_reading> left = readings;
        do {
            const auto piece = left.first(std::min(left.size(), readings_a_piece));
            left = left.subspan(piece.size());
            host_.readings(request, piece, left.empty() ? 1 : 0);
        } while (!left.empty());
    }
    if (!asked_.empty() && !dumping_)
        start_dump();
}

void Backend::on_routes()
{
    if (!routes_->changed())
        return;
    if (built_ && is_damaged()) {
        rebuild(); // a device has come back, or has another MTU
        return;
    }
    for (const auto& [id, flow] : flows_.all())
        add_chore(*flow, Chore::reroute);
}

/// Once a flow, however often routes change before its turn comes.
void Backend::add_chore(Flow& flow, Chore chore)
{
    flow.needs_mending = flow.needs_mending || chore == Chore::mend;
    if (!std::exchange(flow.has_chore, true))
        chores_.push_back(flow.id);
    if (!std::exchange(chores_posted_, true))
        host_.post(run<&Backend::do_chores>, this);
}

void Backend::do_chores()
{
    chores_posted_ = false;
    std::vector<FlowTable::Place> ways;
    for (std::size_t done = 0; done < chores_a_turn && !chores_.empty(); ++done) {
        Flow* flow = flows_.find(chores_.front());
        chores_.pop_front();
        // Without a chore: it took the place of the flow that had it.
        if (flow == nullptr || !std::exchange(flow->has_chore, false) || flow->lost)
            continue;
        const bool mends = std::exchange(flow->needs_mending, false);
        if (routes_)
            reroute(*flow);
        if (!mends || flow->lost)
            continue;
        for (std::size_t side = 0; side < flow->ways.size(); ++side)
            ways.push_back({flow, side});
    }
    mend(ways);
    if (!chores_.empty() && !std::exchange(chores_posted_, true))
        host_.post(run<&Backend::do_chores>, this);
}

void Backend::mend(std::span<const FlowTable::Place> ways)
{
    // Asked for first: a transaction that is refused, as one of them is there, makes the kernel
    // wait for all processors.
    std::vector<int> problems(ways.size());
    query_ways(*socket_, layout_, ways, problems,
               [&](const Key& key, std::span<const std::byte> data, const mp_traffic& counted) {
                   if (const auto place = flows_.find(key); place.flow != nullptr)
                       on_element(place, data, counted);
               });
    std::vector<FlowTable::Place> missing;
    for (std::size_t i = 0; i < ways.size(); ++i) {
        if (problems[i] == ENOENT)
            missing.push_back(ways[i]);
    }
    problems.assign(missing.size(), 0);
    writer_.add_ways(missing, problems);
    for (std::size_t i = 0; i < missing.size(); ++i) {
        Flow& flow = *missing[i].flow;
        if (problems[i] == 0) {
            flow.ways[missing[i].side].close();
            flow.made_in = round_;
        } else if (problems[i] != EEXIST && problems[i] != ENOENT) {
            report_lost(flow, problems[i] == EBUSY ? MP_FLOW_DELETED : MP_FLOW_FAILED);
        }
    }
}

void Backend::reroute(Flow& flow)
{
    Flow changed = flow;
    mp_error problem{};
    if (route_flow(changed, *routes_, problem) != MP_OK) {
        host_.log(MP_LOG_DEBUG, problem.message);
        report_lost(flow, MP_FLOW_FAILED);
        return;
    }
    const bool same =
        changed.ways[0].hop == flow.ways[0].hop && changed.ways[1].hop == flow.ways[1].hop;
    if (same)
        return;
    const int refused = writer_.exchange(flow, changed);
    for (std::size_t side = 0; side < flow.ways.size(); ++side) {
        flow.ways[side].hop = changed.ways[side].hop;
        flow.ways[side].data = changed.ways[side].data;
    }
    flow.made_in = round_;
    if (refused == ENOENT)
        add_chore(flow, Chore::mend);
    else if (refused != 0)
        report_lost(flow, MP_FLOW_FAILED);
}

} // namespace forwarding_nftables
