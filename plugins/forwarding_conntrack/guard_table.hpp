// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "entries.hpp"
#include "rule.hpp"
#include "settings.hpp"
#include "support/nft_batch.hpp"

namespace forwarding_conntrack
{

using mediaproxy::plugin_support::NftBatch;

/// The nf_tables table `inet mediaproxyd_OWNER`. It brings connection tracking and address
/// translation into the network namespace and holds the switch: a packet to a local endpoint in
/// the set fast4 or fast6 is looked up in the zone of our entries, every other one in the host's.
/// Its chain runs just before priority raw, so that nobody else untracks these packets first.
/// [core-thread]
class GuardTable
{
public:
    GuardTable(NetlinkSocket& socket, const std::string& owner, const Settings& settings);

    const std::string& name() const { return name_; }

    /// Makes the table unless there is one; what the kernel lacks is in `error`.
    mp_status ensure(mp_error& error);
    /// In one step: a new table with these flows switched on instead of whatever is there, and no
    /// other ones. 0 or an errno.
    int rebuild(FlowSpan flows);
    /// In one step all of these flows (5000 a step); 0 or an errno, and then none.
    int switch_on(FlowSpan flows);
    int switch_off(FlowSpan flows);
    void drop();
    /// What a predecessor left that used the back end nftables; false: nothing.
    bool drop_other_back_end();

    /// Whether somebody changed any ruleset since the last question.
    bool ruleset_changed();
    enum class Condition {
        intact,
        damaged, ///< or not there
        unknown, ///< the kernel did not tell all: to be looked at again
    };
    /// Whether the table is as we made it, with so many flows of each family switched on.
    Condition condition(std::size_t flows4, std::size_t flows6);
    /// Another daemon's table is there.
    bool others_present();

private:
    struct Question {
        std::uint16_t type; ///< NFT_MSG_GET*
        std::uint16_t flags = 0;
        const char* table = nullptr;
        const char* set = nullptr;
    };
    using OnAttribute = std::function<void(const nlattr&)>;

    void build();
    void add_table(std::uint16_t message_type, std::uint16_t flags);
    void add_set(const char* set, std::uint32_t key_type, std::uint32_t key_size);
    void add_chain(const char* chain, const char* type, std::uint32_t hook, std::int32_t priority);
    void add_rules();
    void add_rule(const Rule& rule, const char* what);
    void add_elements(std::uint16_t message_type, FlowSpan flows, std::uint8_t family);
    void add_all(std::uint16_t message_type, FlowSpan flows);
    int switch_all(std::uint16_t message_type, FlowSpan flows);
    int commit(NftBatch::Outcome* outcome = nullptr);
    int ask(const Question& question, const OnAttribute& on_attribute);
    int count_elements(const char* set, std::size_t& count);

    NetlinkSocket& socket_;
    NftBatch batch_;
    std::string owner_, name_;
    std::uint16_t zone_;
    std::optional<PortRange> untracked_;
    std::map<std::uint32_t, const char*> needs_; ///< what the message of that sequence needs
    std::size_t rules_ = 0;
    std::uint32_t parts_ = 0;      ///< sets and chains
    std::uint32_t generation_ = 0; ///< of the ruleset, as far as we know it
};

} // namespace forwarding_conntrack
