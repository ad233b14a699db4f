// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "entries.hpp"
#include "flow_table.hpp"
#include "guard_table.hpp"
#include "reader.hpp"
#include "settings.hpp"
#include "support/ration.hpp"
#include "support/sysctls.hpp"

namespace forwarding_conntrack
{

/// One instance of the back end. A flow is installed by making its entry, which nothing can match
/// yet, and then switching its local endpoints to the entries' zone; it is removed in the opposite
/// order, so that its last reading is final. In between, what the kernel cannot place goes to the
/// host's sockets. [core-thread]
class Backend
{
public:
    /// Nothing when this host cannot do it: `status` and `error` say why.
    static std::unique_ptr<Backend> create(const mp_host* host, const mp_flow_events* events,
                                           const Settings& settings, mp_status& status,
                                           mp_error& error);

    mp_status adopt(std::span<const mp_flow* const> flows, mp_status* each, mp_flow_reading* so_far,
                    mp_error& error);
    mp_status install(std::span<const mp_flow* const> flows, mp_status* each, mp_error& error);
    mp_status replace(const mp_flow& flow, mp_flow_reading& until_now, mp_error& error);
    mp_status remove(std::span<const mp_flow_id> ids, mp_flow_reading* finals, mp_error& error);
    void read(std::uint64_t request);
    /// Takes everything of ours out of the kernel.
    void clean_up();

private:
    Backend(const mp_host* host, const mp_flow_events* events, const Settings& settings,
            std::unique_ptr<NetlinkSocket> changes, std::unique_ptr<NetlinkSocket> questions);

    mp_status prepare(mp_error& error);
    mp_status check(const mp_flow& flow, mp_error& error);
    mp_status start(FlowSpan flows, mp_status* each, mp_error& error);
    void make_entries(FlowSpan flows, int* errors);
    int switch_on(FlowSpan flows);
    int rebuild(FlowSpan flows);
    std::vector<Flow*> all() const;

    void look_after(FlowSpan flows);
    void put_back(FlowSpan flows);
    void watch_ruleset();
    void look_at_forward_chains();
    void set_obstacle(std::string& present, const std::string& sentence);
    mp_status explain(int problem, mp_error& error) const;
    void log(mp_log_level level, const std::string& sentence) const;

    const mp_host* host_;
    const mp_flow_events* events_;
    Settings settings_;
    std::unique_ptr<NetlinkSocket> changes_, questions_;
    mediaproxy::plugin_support::Sysctls sysctls_;
    FlowTable flows_;
    Entries entries_; ///< changed through changes_
    Entries known_;   ///< read through questions_
    GuardTable table_;
    Reader reader_;
    bool forwards_ipv6_ = false;
    bool look_again_ = false;    ///< at the table: its condition is unknown
    bool chains_changed_ = true; ///< since they were looked at
    mediaproxy::plugin_support::Ration chain_looks_;
    /// Why nothing may be forwarded now, "" for no reason.
    std::string sysctl_obstacle_, firewall_obstacle_;
    std::vector<Entries::State> states_;
    std::vector<Flow*> missing_, quiet_, off_;
};

} // namespace forwarding_conntrack
