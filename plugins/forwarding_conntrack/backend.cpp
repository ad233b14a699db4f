// SPDX-License-Identifier: GPL-2.0-or-later
#include "backend.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <unordered_map>

#include "flow_check.hpp"
#include "support/failure.hpp"
#include "support/forward_chains.hpp"
#include "support/owner_tables.hpp"

namespace forwarding_conntrack
{
namespace
{

using mediaproxy::plugin_support::fail;
using mediaproxy::plugin_support::Sysctls;

constexpr const char* table_size = "net/netfilter/nf_conntrack_max";
constexpr unsigned long small_table = 16384;

std::string sysctl_file(const mp_host& host, const std::string& back_end = "conntrack")
{
    const std::string folder = host.state_dir;
    return folder.empty() ? folder : folder + "/forwarding_" + back_end + ".sysctl";
}

Settings with_mark(Settings settings, const mp_host& host)
{
    if (settings.mark == 0)
        settings.mark = mediaproxy::plugin_support::fingerprint(host.owner);
    return settings;
}

std::string flow_name(const Flow& flow)
{
    return "flow " + std::to_string(flow.id) + ": ";
}

} // namespace

Backend::Backend(const mp_host* host, const mp_flow_events* events, const Settings& settings,
                 std::unique_ptr<NetlinkSocket> changes, std::unique_ptr<NetlinkSocket> questions)
    : host_(host), events_(events), settings_(with_mark(settings, *host)),
      changes_(std::move(changes)), questions_(std::move(questions)),
      sysctls_(sysctl_file(*host),
               [this](mp_log_level level, const std::string& line) { log(level, line); }),
      entries_(*changes_, settings_.zone, settings_.mark),
      known_(*questions_, settings_.zone, settings_.mark),
      table_(*changes_, host->owner, settings_),
      reader_(host, events, flows_, [this](FlowSpan flows) { look_after(flows); })
{
}

std::unique_ptr<Backend> Backend::create(const mp_host* host, const mp_flow_events* events,
                                         const Settings& settings, mp_status& status,
                                         mp_error& error)
{
    status = MP_E_UNSUPPORTED;
    auto changes = NetlinkSocket::open(error);
    auto questions = changes == nullptr ? nullptr : NetlinkSocket::open(error);
    if (questions == nullptr)
        return nullptr;
    std::unique_ptr<Backend> made(
        new Backend(host, events, settings, std::move(changes), std::move(questions)));
    status = made->prepare(error);
    return status == MP_OK ? std::move(made) : nullptr;
}

mp_status Backend::prepare(mp_error& error)
{
    // First, because it brings the modules in that have the sysctls.
    if (const mp_status status = table_.ensure(error); status != MP_OK)
        return status;
    mp_status status = MP_OK;
    std::vector<Flow> probe;
    if (Sysctls::read(table_size).empty())
        status = fail(&error, MP_E_UNSUPPORTED,
                      "this kernel has no connection tracking (CONFIG_NF_CONNTRACK)");
    else if (const int refused = known_.list(probe); refused != 0)
        status = fail(&error, refused == EPERM ? MP_E_DENIED : MP_E_UNSUPPORTED,
                      std::string("connection tracking cannot be asked (CONFIG_NF_CT_NETLINK): ") +
                          std::strerror(refused));
    // An entry counts only if it was made after this was set.
    if (status == MP_OK)
        status = sysctls_.require("net/netfilter/nf_conntrack_acct", "1", error);
    if (status == MP_OK)
        status = sysctls_.require("net/ipv4/ip_forward", "1", error);
    if (status != MP_OK) {
        if (probe.empty())
            table_.drop();
        if (probe.empty() && !table_.others_present())
            sysctls_.restore();
        return status;
    }
    if (std::strtoul(Sysctls::read(table_size).c_str(), nullptr, 10) < small_table)
        log(MP_LOG_WARNING, std::string(table_size) + " is " + Sysctls::read(table_size) +
                                ": each accelerated flow needs one entry of it");
    if (!settings_.keeps_early_demux)
        mediaproxy::plugin_support::spare_early_demux(sysctls_);
    look_at_forward_chains();
    return MP_OK;
}

mp_status Backend::adopt(std::span<const mp_flow* const> flows, mp_status* each,
                         mp_flow_reading* so_far, mp_error& error)
{
    if (table_.drop_other_back_end())
        log(MP_LOG_INFO, "removed the tables of a predecessor that used the back end nftables");
    sysctls_.inherit(sysctl_file(*host_, "nftables"));
    std::vector<Flow> left;
    if (const int problem = known_.list(left); problem != 0)
        return explain(problem, error);
    std::vector<Flow*> leftovers;
    for (Flow& entry : left)
        leftovers.push_back(&entry);
    for (std::size_t i = 0; i < flows.size(); ++i) {
        so_far[i] = {flows[i]->id, {}, {}, -1, -1};
        each[i] = check(*flows[i], error);
        if (each[i] != MP_OK)
            continue;
        auto flow = std::make_unique<Flow>(to_flow(*flows[i]));
        const auto found = std::find_if(leftovers.begin(), leftovers.end(), [&](const Flow* entry) {
            return same_path(*entry, *flow);
        });
        if (found == leftovers.end()) {
            each[i] =
                fail(&error, MP_E_AGAIN, flow_name(*flow) + "its entry is not there any more");
            continue;
        }
        flow->seen = (*found)->seen;
        so_far[i] = flow->reading();
        flows_.add(std::move(flow));
        leftovers.erase(found);
    }
    const int problem = table_.rebuild(all());
    entries_.clear(leftovers);
    table_.ruleset_changed();
    if (!leftovers.empty())
        log(MP_LOG_INFO,
            "removed " + std::to_string(leftovers.size()) + " entries that a predecessor left");
    return problem == 0 ? MP_OK : explain(problem, error);
}

/// Whether this flow can be ours.
mp_status Backend::check(const mp_flow& flow, mp_error& error)
{
    if (const mp_status status = check_flow(flow, error); status != MP_OK)
        return status;
    if (flows_.find(flow.id) != nullptr || flows_.uses(flow.caller_local) ||
        flows_.uses(flow.callee_local))
        return fail(&error, MP_E_INVALID,
                    flow_name(to_flow(flow)) + "it or one of its ports is installed already");
    for (const std::string* obstacle : {&sysctl_obstacle_, &firewall_obstacle_}) {
        if (!obstacle->empty())
            return fail(&error, MP_E_AGAIN, *obstacle);
    }
    if (flow.caller_local.family == 4 || forwards_ipv6_)
        return MP_OK;
    // Not before it is needed: it makes a router of the host.
    const mp_status status = mediaproxy::plugin_support::require_ipv6_forwarding(sysctls_, error);
    forwards_ipv6_ = status == MP_OK;
    return status;
}

mp_status Backend::install(std::span<const mp_flow* const> flows, mp_status* each, mp_error& error)
{
    mp_status first = MP_OK;
    const auto note = [&](std::size_t i, mp_status status, const mp_error& why) {
        each[i] = status;
        if (status == MP_OK || first != MP_OK)
            return;
        first = status;
        error = why;
    };
    std::vector<Flow*> fresh;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < flows.size(); ++i) {
        mp_error why{};
        note(i, check(*flows[i], why), why);
        if (each[i] != MP_OK)
            continue;
        fresh.push_back(flows_.add(std::make_unique<Flow>(to_flow(*flows[i]))));
        places.push_back(i);
    }
    std::vector<mp_status> outcomes(fresh.size(), MP_OK);
    mp_error why{};
    start(fresh, outcomes.data(), why);
    for (std::size_t k = 0; k < fresh.size(); ++k) {
        note(places[k], outcomes[k], why);
        if (outcomes[k] != MP_OK)
            flows_.extract(fresh[k]->id);
    }
    return first;
}

/// Makes entries and switches them on; those that failed are as before. The first failure is
/// returned and explained.
mp_status Backend::start(FlowSpan flows, mp_status* each, mp_error& error)
{
    std::vector<int> errors(flows.size());
    make_entries(flows, errors.data());
    std::vector<Flow*> ready;
    for (std::size_t i = 0; i < flows.size(); ++i) {
        if (errors[i] == 0)
            ready.push_back(flows[i]);
    }
    const int problem = switch_on(ready);
    if (problem != 0)
        entries_.clear(ready);
    mp_status first = MP_OK;
    for (std::size_t i = 0; i < flows.size(); ++i) {
        const int failed = errors[i] != 0 ? errors[i] : problem;
        mp_error why{};
        each[i] = failed == 0 ? MP_OK : explain(failed, why);
        if (each[i] == MP_OK || first != MP_OK)
            continue;
        first = each[i];
        error = why;
    }
    return first;
}

/// A packet of a stranger, or one that came while the entry was missing, may have made an ordinary
/// entry in our zone: it is deleted, once.
void Backend::make_entries(FlowSpan flows, int* errors)
{
    entries_.create(flows, errors);
    std::vector<Flow*> clashing;
    for (std::size_t i = 0; i < flows.size(); ++i) {
        if (errors[i] == EEXIST)
            clashing.push_back(flows[i]);
    }
    if (clashing.empty())
        return;
    entries_.clear(clashing);
    std::vector<int> again(clashing.size());
    entries_.create(clashing, again.data());
    for (std::size_t i = 0, k = 0; i < flows.size(); ++i) {
        if (errors[i] == EEXIST)
            errors[i] = again[k++];
    }
}

int Backend::switch_on(FlowSpan flows)
{
    const int problem = table_.switch_on(flows);
    if (problem != ENOENT)
        return problem;
    // Somebody deleted the table: the flows that were in it follow with the next reading.
    return rebuild(flows);
}

/// The others are switched on again piece by piece, as they are read.
int Backend::rebuild(FlowSpan flows)
{
    for (Flow* flow : all())
        flow->switched = false;
    return table_.rebuild(flows);
}

mp_status Backend::replace(const mp_flow& flow, mp_flow_reading& until_now, mp_error& error)
{
    Flow* present = flows_.find(flow.id);
    if (present == nullptr)
        return fail(&error, MP_E_INVALID, flow_name(to_flow(flow)) + "it is not installed");
    if (const mp_status status = check_flow(flow, error); status != MP_OK)
        return status;
    const std::vector<mp_flow_id> ids{flow.id};
    const Flow before = *present;
    if (const mp_status status = remove(ids, &until_now, error); status != MP_OK)
        return status;
    auto moved = std::make_unique<Flow>(to_flow(flow));
    moved->earlier = {until_now.from_caller, until_now.from_callee};
    if (flows_.uses(flow.caller_local) || flows_.uses(flow.callee_local)) {
        Flow* back = flows_.add(std::make_unique<Flow>(before));
        back->close_entry();
        back->switched = false;
        return fail(&error, MP_E_INVALID,
                    flow_name(*moved) + "one of its ports belongs to another flow");
    }
    Flow* added = flows_.add(std::move(moved)); // stays: the next reading tries again
    mp_status each = MP_OK;
    start({&added, 1}, &each, error);
    return each;
}

mp_status Backend::remove(std::span<const mp_flow_id> ids, mp_flow_reading* finals, mp_error& error)
{
    mp_status status = MP_OK;
    std::vector<std::unique_ptr<Flow>> owned;
    std::vector<Flow*> leaving;
    std::vector<std::size_t> places;
    for (std::size_t i = 0; i < ids.size(); ++i) {
        finals[i] = {ids[i], {}, {}, -1, -1};
        auto flow = flows_.extract(ids[i]);
        if (flow == nullptr) {
            status = fail(&error, MP_E_INVALID,
                          "flow " + std::to_string(ids[i]) + ": it is not installed");
            continue;
        }
        leaving.push_back(flow.get());
        places.push_back(i);
        owned.push_back(std::move(flow));
    }
    // From here on packets reach the sockets, so the counters stand still.
    table_.switch_off(leaving);
    std::vector<Entries::State> states(leaving.size());
    entries_.take(leaving, states.data());
    for (std::size_t k = 0; k < leaving.size(); ++k) {
        if (states[k].error == 0)
            leaving[k]->seen = states[k].traffic;
        finals[places[k]] = leaving[k]->reading();
    }
    return status;
}

void Backend::read(std::uint64_t request)
{
    set_obstacle(sysctl_obstacle_, sysctls_.hold()
                                       ? ""
                                       : "somebody changed a sysctl that forwarding needs, and it "
                                         "cannot be set back");
    watch_ruleset();
    reader_.read(request);
}

/// `sentence` says why nothing may be forwarded now; "": that reason is gone.
void Backend::set_obstacle(std::string& present, const std::string& sentence)
{
    if (present == sentence)
        return;
    log(sentence.empty() ? MP_LOG_INFO : MP_LOG_WARNING,
        sentence.empty() ? "this is over: " + present : sentence + "; flows stay on the slow path");
    present = sentence;
    if (sentence.empty())
        return;
    for (const mp_flow_id id : flows_.ids())
        events_->lost(host_, id, MP_FLOW_FAILED);
}

/// What the reader asks of each piece: counters, and that everything is in its place.
void Backend::look_after(FlowSpan flows)
{
    states_.assign(flows.size(), {});
    known_.read(flows, states_.data());
    missing_.clear();
    quiet_.clear();
    off_.clear();
    for (std::size_t i = 0; i < flows.size(); ++i) {
        Flow& flow = *flows[i];
        const Entries::State& state = states_[i];
        if (state.error == ENOENT) {
            flow.close_entry();
            missing_.push_back(&flow);
            continue;
        }
        if (!flow.switched)
            off_.push_back(&flow);
        if (state.error != 0)
            continue;
        const bool still = state.traffic[0].packets == flow.seen[0].packets &&
                           state.traffic[1].packets == flow.seen[1].packets;
        flow.seen = state.traffic;
        // Each packet sets the timeout to the sysctl's, which may end before a call on hold does.
        if (still && state.timeout_s < flow.timeout_s / 2)
            quiet_.push_back(&flow);
    }
    entries_.prolong(quiet_);
    put_back(missing_);
    switch_on(off_);
}

void Backend::put_back(FlowSpan flows)
{
    if (flows.empty())
        return;
    // Else their own packets make ordinary entries in our zone as fast as we delete them.
    std::vector<Flow*> on;
    std::copy_if(flows.begin(), flows.end(), std::back_inserter(on),
                 [](const Flow* flow) { return flow->switched; });
    table_.switch_off(on);
    std::vector<int> errors(flows.size());
    make_entries(flows, errors.data());
    std::vector<Flow*> back;
    for (std::size_t i = 0; i < flows.size(); ++i) {
        if (errors[i] == 0)
            back.push_back(flows[i]);
        else
            events_->lost(host_, flows[i]->id, MP_FLOW_DELETED);
    }
    switch_on(back);
    log(MP_LOG_WARNING, std::to_string(flows.size()) +
                            " entries were deleted by someone or expired; " +
                            std::to_string(back.size()) + " of them are back");
}

void Backend::watch_ruleset()
{
    using Condition = GuardTable::Condition;
    const bool changed = table_.ruleset_changed();
    const Condition condition = changed || look_again_
                                    ? table_.condition(flows_.count(4), flows_.count(6))
                                    : Condition::intact;
    look_again_ = condition == Condition::unknown;
    if (condition == Condition::damaged) {
        log(MP_LOG_WARNING, "somebody changed table inet " + table_.name() + "; it is made anew");
        if (const int problem = rebuild({}); problem != 0)
            log(MP_LOG_ERROR, "table inet " + table_.name() + ": " + std::strerror(problem));
    }
    chains_changed_ = chains_changed_ || changed;
    if (chains_changed_ && chain_looks_.is_due())
        chain_looks_.spend([&] { look_at_forward_chains(); });
}

void Backend::look_at_forward_chains()
{
    if (settings_.forward_chain == ForwardChain::trust)
        return;
    namespace support = mediaproxy::plugin_support;
    const auto chain = support::blocking_forward_chain(*questions_, support::CtState::established);
    chains_changed_ = !chain;
    if (!chain) {
        log(MP_LOG_DEBUG, "the kernel does not tell the firewall's rules now; they are looked at "
                          "again");
        return;
    }
    set_obstacle(firewall_obstacle_,
                 chain->empty() ? ""
                                : "the firewall drops what is forwarded: " + *chain +
                                      " has policy drop and accepts no established connections");
}

void Backend::clean_up()
{
    table_.drop();
    std::vector<Flow> left; // all of our mark, more than the flows only if something went wrong
    known_.list(left);
    std::vector<Flow*> entries = all();
    for (Flow& entry : left)
        entries.push_back(&entry);
    entries_.clear(entries);
    if (table_.others_present())
        log(MP_LOG_INFO, "the sysctls stay: another daemon needs them");
    else
        sysctls_.restore();
}

std::vector<Flow*> Backend::all() const
{
    std::vector<Flow*> result;
    for (const mp_flow_id id : flows_.ids())
        result.push_back(flows_.find(id));
    return result;
}

/// Of an errno that a flow met.
mp_status Backend::explain(int problem, mp_error& error) const
{
    switch (problem) {
    case ENOMEM:
        return fail(&error, MP_E_AGAIN,
                    "the table of connection tracking is full (" + std::string(table_size) +
                        " is " + Sysctls::read(table_size) + ")");
    case EEXIST:
        return fail(&error, MP_E_AGAIN, "another connection has the flow's addresses and ports");
    case EPERM:
    case EACCES:
        return fail(&error, MP_E_DENIED, "the capability CAP_NET_ADMIN is missing");
    default:
        return fail(&error, MP_E_FAILED,
                    std::string("the kernel refused the flow: ") + std::strerror(problem));
    }
}

void Backend::log(mp_log_level level, const std::string& sentence) const
{
    host_->log(host_, level, sentence.c_str());
}

} // namespace forwarding_conntrack
