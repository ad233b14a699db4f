// SPDX-License-Identifier: GPL-2.0-or-later
#include "backend.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "flow_maker.hpp"
#include "support/failure.hpp"
#include "support/owner_tables.hpp"

namespace forwarding_nftables
{

using mediaproxy::plugin_support::fail;

namespace
{

std::string sysctl_file(const HostLink& host, const std::string& back_end = "nftables")
{
    const std::string folder = host.state_dir();
    return folder.empty() ? "" : folder + "/forwarding_" + back_end + ".sysctl";
}

} // namespace

std::unique_ptr<Backend> Backend::create(HostLink host, const Settings& settings, mp_status& status,
                                         mp_error& error)
{
    auto socket = NetlinkSocket::open(error);
    if (socket == nullptr) {
        status = MP_E_UNSUPPORTED;
        return nullptr;
    }
    std::unique_ptr<Backend> made(new Backend(host, settings, std::move(socket)));
    status = made->start(error);
    return status == MP_OK ? std::move(made) : nullptr;
}

Backend::Backend(HostLink host, const Settings& settings, std::unique_ptr<NetlinkSocket> socket)
    : host_(host), layout_(host.owner(), settings), socket_(std::move(socket)), batch_(*socket_),
      ruleset_(layout_, *socket_, batch_), writer_(layout_, batch_, flows_),
      firewall_(layout_, *socket_),
      environment_(sysctl_file(host), [host](mp_log_level level, const std::string& message) {
          host.log(level, message);
      })
{
}

Backend::~Backend()
{
    for (const std::uint32_t watch : watches_)
        host_.unwatch(watch);
}

mp_status Backend::start(mp_error& error)
{
    if (const mp_status status = ruleset_.probe(error); status != MP_OK)
        return status;
    if (const auto sentence = firewall_.obstacle(Family::ipv4); sentence && !sentence->empty())
        return fail(&error, MP_E_FAILED, *sentence);
    check_firewall();
    if (firewall_.has_hidden_rules())
        host_.log(MP_LOG_WARNING, "iptables-legacy filters packets here, and its rules cannot be "
                                  "looked at: see to it that they accept untracked packets");
    if (!layout_.settings().on_devices()) {
        // IPv6 follows with its first flow: it makes a router of the host.
        const mp_status status = environment_.prepare(Family::ipv4, error);
        if (status != MP_OK) {
            if (ruleset_.condition() == Ruleset::Condition::damaged && !ruleset_.has_neighbours())
                environment_.restore();
            return status;
        }
        if (!layout_.settings().keeps_early_demux)
            environment_.spare_early_demux();
    }
    dump_ = MapDump::open(error);
    if (dump_ == nullptr)
        return MP_E_UNSUPPORTED;
    const mp_status status = watch(dump_->fd(), on_event<&Backend::on_dump>, error);
    if (status != MP_OK || !layout_.settings().on_devices())
        return status;
    routes_ = Routes::open(error);
    if (routes_ == nullptr)
        return MP_E_UNSUPPORTED;
    return watch(routes_->fd(), on_event<&Backend::on_routes>, error);
}

mp_status Backend::watch(int fd, void (*call)(void*, std::uint32_t), mp_error& error)
{
    std::uint32_t id = 0;
    const mp_status status = host_.watch(fd, call, this, id);
    if (status != MP_OK)
        return fail(&error, status, "the daemon cannot watch a netlink socket");
    watches_.push_back(id);
    return MP_OK;
}

mp_status Backend::refuse_all(std::size_t count, mp_status* each, mp_status status) const
{
    std::fill_n(each, count, status);
    return status;
}

mp_status Backend::adopt(std::span<const mp_flow* const> flows, mp_status* each,
                         mp_flow_reading* so_far, mp_error& error)
{
    if (mediaproxy::plugin_support::drop_conntrack_table(batch_, host_.owner()))
        host_.log(MP_LOG_INFO, "removed the table of a predecessor that used the back end "
                               "conntrack");
    environment_.inherit(sysctl_file(host_, "conntrack"));
    for (std::size_t i = 0; i < flows.size(); ++i) {
        each[i] =
            fail(&error, MP_E_AGAIN, sentence_of(flows[i]->id, "the kernel has nothing of it"));
        so_far[i] = {flows[i]->id, {}, {}, -1, -1};
    }
    built_ = !flows.empty() && !is_damaged();
    if (!built_) {
        const mp_status status = ruleset_.build(error);
        built_ = status == MP_OK;
        return built_ ? MP_OK : refuse_all(flows.size(), each, status);
    }
    take_over(flows, each, so_far, error);
    return MP_OK;
}

void Backend::take_over(std::span<const mp_flow* const> flows, mp_status* each,
                        mp_flow_reading* so_far, mp_error& error)
{
    struct Found {
        Data data;
        mp_traffic counted;
    };
    for (const Family family : ruleset_.families()) {
        std::unordered_map<Key, Found, KeyHash> found;
        auto step = dump_->start({layout_.place(family)});
        while (step == MapDump::Step::more) {
            step = dump_->next(
                [&](const Key& key, std::span<const std::byte> data, const mp_traffic& counted) {
                    Found& entry = found[key];
                    entry.data.append(data.data(), std::min(data.size(), sizeof(Data)));
                    entry.counted = counted;
                });
        }
        for (std::size_t i = 0; i < flows.size(); ++i) {
            mp_status status = MP_OK;
            auto flow = prepare(*flows[i], status, error);
            if (flow == nullptr || flow->family != family)
                continue;
            const bool whole =
                std::all_of(flow->ways.begin(), flow->ways.end(), [&](const Way& way) {
                    const auto element = found.find(way.key);
                    return element != found.end() && element->second.data == way.data;
                });
            if (!whole)
                continue;
            for (Way& way : flow->ways)
                way.now = found.extract(way.key).mapped().counted;
            so_far[i] = flow->reading();
            each[i] = MP_OK;
            flows_.add(std::move(flow));
        }
        std::vector<Key> leftovers;
        leftovers.reserve(found.size());
        for (const auto& [key, entry] : found)
            leftovers.push_back(key);
        writer_.remove(family, leftovers);
    }
}

std::unique_ptr<Flow> Backend::prepare(const mp_flow& wanted, mp_status& status, mp_error& error)
{
    auto flow = make_flow(wanted, routes_.get(), status, error);
    if (flow == nullptr)
        return nullptr;
    const auto refuse = [&](mp_status code, const std::string& text) {
        status = fail(&error, code, sentence_of(wanted.id, text));
        return nullptr;
    };
    const auto& families = ruleset_.families();
    if (std::find(families.begin(), families.end(), flow->family) == families.end())
        return refuse(MP_E_UNSUPPORTED, "this kernel has no IPv6");
    if (const std::string& sentence = obstacle(flow->family); !sentence.empty())
        return refuse(MP_E_AGAIN, sentence);
    if (!flows_.has_room_for(*flow))
        return refuse(MP_E_AGAIN, "another flow has its addresses and ports");
    if (!layout_.settings().on_devices()) {
        status = environment_.prepare(flow->family, error);
        if (status != MP_OK)
            return nullptr;
    }
    flow->made_in = round_;
    return flow;
}

mp_status Backend::explain(const Flow& flow, int problem, mp_error& error) const
{
    switch (problem) {
    case EEXIST:
    case EBUSY:
        return fail(&error, MP_E_AGAIN,
                    sentence_of(flow.id, "somebody else put its addresses and ports into the map"));
    case ENFILE:
        return fail(&error, MP_E_AGAIN,
                    sentence_of(flow.id, "the map is full: map_size is " +
                                             std::to_string(layout_.settings().map_size)));
    case EPERM:
        return fail(&error, MP_E_DENIED,
                    sentence_of(flow.id, "the capability CAP_NET_ADMIN is missing"));
    case ENOENT:
        return fail(&error, MP_E_AGAIN,
                    sentence_of(flow.id, "somebody deleted the nftables table; it is made again"));
    default:
        return fail(&error, MP_E_FAILED, sentence_of(flow.id, std::strerror(problem)));
    }
}

mp_status Backend::install(std::span<const mp_flow* const> wanted, mp_status* each, mp_error& error)
{
    if (!built_) {
        const mp_status status = ruleset_.build(error);
        if (status != MP_OK)
            return refuse_all(wanted.size(), each, status);
        built_ = true;
    }
    mp_status first = MP_OK;
    const auto refused = [&](mp_status status, const mp_error& reason) {
        if (first != MP_OK)
            return status;
        error = reason;
        return first = status;
    };
    std::vector<Flow*> flows;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        mp_error reason{};
        each[i] = MP_OK;
        std::unique_ptr<Flow> flow;
        if (flows_.find(wanted[i]->id) != nullptr)
            each[i] =
                fail(&reason, MP_E_INVALID, sentence_of(wanted[i]->id, "is installed already"));
        else
            flow = prepare(*wanted[i], each[i], reason);
        if (flow == nullptr) {
            refused(each[i], reason);
            continue;
        }
        flows.push_back(&flows_.add(std::move(flow)));
        places.push_back(i);
    }
    std::vector<int> problems(flows.size());
    writer_.add(flows, problems);
    bool table_gone = false;
    for (std::size_t i = 0; i < flows.size(); ++i) {
        if (problems[i] == 0)
            continue;
        table_gone = table_gone || problems[i] == ENOENT;
        mp_error reason{};
        each[places[i]] = explain(*flows[i], problems[i], reason);
        refused(each[places[i]], reason);
        if (problems[i] == ENOBUFS) // the answer is lost: perhaps it is there
            writer_.remove({&flows[i], 1});
        flows_.take(flows[i]->id);
    }
    if (table_gone)
        rebuild();
    return first;
}

mp_status Backend::replace(const mp_flow& wanted, mp_flow_reading& until_now, mp_error& error)
{
    Flow* old = flows_.find(wanted.id);
    if (old == nullptr)
        return fail(&error, MP_E_INVALID, sentence_of(wanted.id, "is not installed"));
    mp_status status = MP_OK;
    auto fresh = prepare(wanted, status, error);
    until_now = old->reading();
    if (fresh == nullptr)
        return status;
    const int problem = writer_.exchange(*old, *fresh);
    until_now = old->reading();
    if (problem != 0) {
        old->made_in = round_;
        add_chore(*old, Chore::mend); // as it was, in a moment
        return explain(*old, problem, error);
    }
    for (std::size_t side = 0; side < fresh->ways.size(); ++side)
        fresh->ways[side].before = old->ways[side].total();
    flows_.take(wanted.id);
    flows_.add(std::move(fresh));
    return MP_OK;
}

mp_status Backend::remove(std::span<const mp_flow_id> ids, mp_flow_reading* finals, mp_error& error)
{
    std::vector<Flow*> flows;
    flows.reserve(ids.size());
    for (const mp_flow_id id : ids) {
        if (Flow* flow = flows_.find(id); flow != nullptr)
            flows.push_back(flow);
    }
    writer_.remove(flows);
    mp_status status = MP_OK;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        finals[i] = {ids[i], {}, {}, -1, -1};
        if (const auto taken = flows_.take(ids[i]); taken != nullptr)
            finals[i] = taken->reading();
        else
            status = fail(&error, MP_E_INVALID, sentence_of(ids[i], "is not installed"));
    }
    return status;
}

void Backend::clean_up()
{
    if (ruleset_.remove() != MP_OK)
        host_.log(MP_LOG_WARNING, std::string("the table ") + layout_.table() +
                                      " cannot be deleted; delete it with nft");
    if (ruleset_.has_neighbours())
        host_.log(MP_LOG_INFO, "the sysctls stay: another mediaproxyd forwards on this host");
    else
        environment_.restore();
}

} // namespace forwarding_nftables
