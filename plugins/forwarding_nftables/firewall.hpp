// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <tuple>
#include <vector>

#include <libnftnl/chain.h>
#include <libnftnl/rule.h>

#include "elements.hpp"
#include "layout.hpp"
#include "support/netlink_socket.hpp"

namespace forwarding_nftables
{

/// Looks at the host's own rules: would they let a packet through that our rule has rewritten? Such
/// a packet is not tracked, comes from an address of this host and passes the hooks prerouting
/// (what is left of it), forward and postrouting. One that is dropped there is dropped silently,
/// while the caller's and the daemon's sides both look well.
///
/// Each rule is one of three: it applies to every such packet, to none, or nobody can tell from the
/// outside (a port, a device). The last ones are passed over. So a chain refuses when its policy,
/// or a rule for everything, drops what no rule before it surely accepts; `ct state untracked
/// accept` surely does.
class Firewall
{
public:
    using NetlinkSocket = mediaproxy::plugin_support::NetlinkSocket;

    Firewall(const Layout& layout, NetlinkSocket& socket) : layout_(layout), socket_(socket) {}

    /// Why packets of this family would not get through, as a sentence; "" when they would.
    /// Nothing when the kernel did not tell all rules: somebody changed them meanwhile, or it has
    /// no memory.
    std::optional<std::string> obstacle(Family family);
    /// Filter rules that are not of nftables, and so cannot be looked at.
    bool has_hidden_rules() const;

private:
    enum class Verdict { accept, drop, fall_through };

    struct FreeChain {
        void operator()(nftnl_chain* chain) const noexcept { nftnl_chain_free(chain); }
    };
    struct FreeRule {
        void operator()(nftnl_rule* rule) const noexcept { nftnl_rule_free(rule); }
    };
    using ChainPtr = std::unique_ptr<nftnl_chain, FreeChain>;
    using Rules = std::vector<std::unique_ptr<nftnl_rule, FreeRule>>;
    using ChainName = std::tuple<std::uint8_t, std::string, std::string>; ///< family, table, name

    void dump(std::span<const std::byte> request, std::uint16_t answer,
              const NetlinkSocket::OnMessage& on_message);
    std::vector<ChainPtr> base_chains(Family family);
    const Rules& rules(const ChainName& chain);
    Verdict walk(const ChainName& chain, Family family, unsigned depth);

    const Layout& layout_;
    NetlinkSocket& socket_;
    std::map<ChainName, Rules> known_; ///< while obstacle() runs
    bool gap_ = false;                 ///< it has not been told all
};

} // namespace forwarding_nftables
