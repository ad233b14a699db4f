// SPDX-License-Identifier: GPL-2.0-or-later
#include "ruleset.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnftnl/chain.h>
#include <libnftnl/expr.h>
#include <libnftnl/set.h>
#include <libnftnl/table.h>
#include <libnftnl/udata.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "packet_rule.hpp"
#include "support/attributes.hpp"
#include "support/failure.hpp"
#include "support/owner_tables.hpp"

namespace forwarding_nftables
{

using mediaproxy::plugin_support::error_of;
using mediaproxy::plugin_support::fail;
using mediaproxy::plugin_support::for_each_attribute;
using mediaproxy::plugin_support::table_prefix;

namespace
{

constexpr std::int32_t hook_priority = -310; ///< before raw (-300) and connection tracking (-200)
constexpr const char* reassembly_chain = "reassemble";

template <class T, void (*Free)(const T*)>
struct Deleter {
    void operator()(const T* object) const noexcept { Free(object); }
};
using TablePtr = std::unique_ptr<nftnl_table, Deleter<nftnl_table, nftnl_table_free>>;
using ChainPtr = std::unique_ptr<nftnl_chain, Deleter<nftnl_chain, nftnl_chain_free>>;
using SetPtr = std::unique_ptr<nftnl_set, Deleter<nftnl_set, nftnl_set_free>>;

// Numbers of nft's data types: what `nft list` shows the bytes of a map as.
constexpr std::uint32_t nft_ipv4_address = 7, nft_ipv6_address = 8, nft_inet_service = 13,
                        nft_iface_index = 20;

std::uint32_t concatenation(std::initializer_list<std::uint32_t> types)
{
    std::uint32_t result = 0;
    for (const std::uint32_t type : types)
        result = result << 6 | type;
    return result;
}

std::uint32_t key_type(Family family)
{
    const std::uint32_t address = family == Family::ipv4 ? nft_ipv4_address : nft_ipv6_address;
    return concatenation({address, address, nft_inet_service, nft_inet_service});
}

std::uint32_t routed_data_type(Family family)
{
    const std::uint32_t address = family == Family::ipv4 ? nft_ipv4_address : nft_ipv6_address;
    return concatenation({address, address, nft_inet_service, nft_iface_index, address});
}

/// Where our tables may be, and those of the back end conntrack.
const std::array<std::uint8_t, 3> our_protocols{NFPROTO_IPV4, NFPROTO_IPV6, NFPROTO_NETDEV};
const std::array<std::uint8_t, 1> conntrack_protocols{NFPROTO_INET};

std::string comment_of(const nftnl_table* table)
{
    std::uint32_t size = 0;
    const auto* data =
        static_cast<const std::uint8_t*>(nftnl_table_get_data(table, NFTNL_TABLE_USERDATA, &size));
    if (data == nullptr || size < 3 || data[0] != NFTNL_UDATA_TABLE_COMMENT || data[1] > size - 2 ||
        data[1] == 0)
        return {};
    return {reinterpret_cast<const char*>(data + 2), static_cast<std::size_t>(data[1]) - 1};
}

} // namespace

std::vector<std::uint8_t> Ruleset::protocols() const
{
    std::vector<std::uint8_t> result;
    for (const Family family : families_) {
        const std::uint8_t protocol = layout_.place(family).protocol;
        if (std::find(result.begin(), result.end(), protocol) == result.end())
            result.push_back(protocol);
    }
    return result;
}

std::vector<std::string> Ruleset::present_devices() const
{
    std::vector<std::string> result = layout_.settings().devices;
    std::erase_if(result,
                  [](const std::string& name) { return if_nametoindex(name.c_str()) == 0; });
    return result;
}

std::uint32_t Ruleset::smallest_mtu() const
{
    constexpr std::uint32_t longest_packet = 65535;
    std::uint32_t smallest = 0;
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    for (const std::string& device : present_devices()) {
        ifreq request{};
        device.copy(request.ifr_name, sizeof request.ifr_name - 1);
        if (ioctl(fd, SIOCGIFMTU, &request) != 0)
            continue;
        const auto mtu = std::min(static_cast<std::uint32_t>(request.ifr_mtu), longest_packet);
        smallest = smallest == 0 ? mtu : std::min(smallest, mtu);
    }
    close(fd);
    return smallest;
}

Ruleset::NftBatch::Outcome Ruleset::commit()
{
    const auto outcome = batch_.commit();
    commits_ += outcome.ok() ? 1 : 0;
    return outcome;
}

mp_status Ruleset::probe(mp_error& error)
{
    families_ = {Family::ipv4};
    if (access("/proc/sys/net/ipv6", F_OK) == 0)
        families_.push_back(Family::ipv6);
    for (const std::string& device : layout_.settings().devices) {
        if (if_nametoindex(device.c_str()) == 0)
            return fail(&error, MP_E_INVALID, "devices: there is no device " + device);
    }
    const std::string table = std::string(table_prefix) + "probe_" + std::to_string(getpid());
    NftBatch::Outcome outcome;
    for (const Reassembly reassembly : {Reassembly::kernel, Reassembly::none}) {
        reassembly_ = reassembly;
        outcome = make({}, reassembly, table.c_str(), false);
        if (outcome.ok())
            return MP_OK;
        if (outcome.error == EPERM)
            return fail(&error, MP_E_DENIED,
                        "the kernel does not let this process change nftables rules: it needs the "
                        "capability CAP_NET_ADMIN");
    }
    return fail(&error, MP_E_UNSUPPORTED,
                std::string("this kernel does not take the nftables rules for forwarding (5.7 or "
                            "later is needed, with nf_tables): ") +
                    std::strerror(outcome.error));
}

mp_status Ruleset::build(mp_error& error)
{
    std::vector<TableEntry> ours;
    for (TableEntry& table : tables(our_protocols)) {
        if (table.name == layout_.table())
            ours.push_back(std::move(table));
    }
    const auto outcome = make(ours, reassembly_, layout_.table(), true);
    if (outcome.ok())
        return MP_OK;
    return fail(&error, outcome.error == EPERM ? MP_E_DENIED : MP_E_FAILED,
                std::string("the nftables rules cannot be made: ") + std::strerror(outcome.error));
}

Ruleset::NftBatch::Outcome Ruleset::make(const std::vector<TableEntry>& replaced,
                                         Reassembly reassembly, const char* table, bool keep)
{
    batch_.begin();
    for (const TableEntry& old : replaced)
        put_table(NFT_MSG_DELTABLE, {old.protocol, old.name.c_str()}, 0);
    const auto devices = present_devices();
    mtu_ = smallest_mtu();
    std::uint32_t map_id = 0;
    for (const std::uint8_t protocol : protocols()) {
        const Names names{protocol, table};
        put_table(NFT_MSG_NEWTABLE, names, NLM_F_CREATE);
        if (protocol != NFPROTO_NETDEV)
            put_base_chain(names, "prerouting", nullptr);
        if (protocol != NFPROTO_NETDEV && reassembly == Reassembly::kernel)
            put_reassembly(names);
        for (const std::string& device : devices)
            put_base_chain(names, "ingress_" + device, device.c_str());
        for (const Family family : families_) {
            if (layout_.place(family).protocol != protocol)
                continue;
            put_map(names, family, ++map_id);
            if (protocol != NFPROTO_NETDEV)
                put_rule(names, "prerouting", family, map_id, reassembly);
            for (const std::string& device : devices)
                put_rule(names, "ingress_" + device, family, map_id, Reassembly::none);
        }
        if (!keep)
            put_table(NFT_MSG_DELTABLE, names, 0);
    }
    return commit();
}

void Ruleset::put_table(std::uint16_t type, const Names& names, std::uint16_t flags)
{
    const TablePtr table(nftnl_table_alloc());
    nftnl_table_set_str(table.get(), NFTNL_TABLE_NAME, names.table);
    if (type == NFT_MSG_NEWTABLE) {
        const std::string& comment = layout_.comment();
        std::vector<char> data{NFTNL_UDATA_TABLE_COMMENT, static_cast<char>(comment.size() + 1)};
        data.insert(data.end(), comment.c_str(), comment.c_str() + comment.size() + 1);
        nftnl_table_set_data(table.get(), NFTNL_TABLE_USERDATA, data.data(),
                             static_cast<std::uint32_t>(data.size()));
    }
    nftnl_table_nlmsg_build_payload(&batch_.add(type, names.protocol, flags), table.get());
}

void Ruleset::put_map(const Names& names, Family family, std::uint32_t id)
{
    const bool routed = names.protocol == NFPROTO_NETDEV;
    const Hop hop{};
    const auto data = make_data(family, {}, {}, routed ? &hop : nullptr);
    const SetPtr set(nftnl_set_alloc());
    nftnl_set_set_str(set.get(), NFTNL_SET_TABLE, names.table);
    nftnl_set_set_str(set.get(), NFTNL_SET_NAME, layout_.place(family).map);
    nftnl_set_set_u32(set.get(), NFTNL_SET_ID, id);
    nftnl_set_set_u32(set.get(), NFTNL_SET_FLAGS, NFT_SET_MAP);
    nftnl_set_set_u32(set.get(), NFTNL_SET_KEY_TYPE, key_type(family));
    nftnl_set_set_u32(set.get(), NFTNL_SET_KEY_LEN, key_size(family));
    nftnl_set_set_u32(set.get(), NFTNL_SET_DATA_TYPE,
                      routed ? routed_data_type(family) : key_type(family));
    nftnl_set_set_u32(set.get(), NFTNL_SET_DATA_LEN,
                      static_cast<std::uint32_t>(data.bytes().size()));
    nftnl_set_set_u32(set.get(), NFTNL_SET_DESC_SIZE, layout_.settings().map_size);
    nftnl_set_add_expr(set.get(), nftnl_expr_alloc("counter"));
    nftnl_set_nlmsg_build_payload(&batch_.add(NFT_MSG_NEWSET, names.protocol, NLM_F_CREATE),
                                  set.get());
}

void Ruleset::put_base_chain(const Names& names, const std::string& name, const char* device)
{
    const std::uint32_t hook =
        device != nullptr ? std::uint32_t{NF_NETDEV_INGRESS} : std::uint32_t{NF_INET_PRE_ROUTING};
    const ChainPtr chain(nftnl_chain_alloc());
    nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_TABLE, names.table);
    nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_NAME, name.c_str());
    nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_TYPE, "filter");
    nftnl_chain_set_u32(chain.get(), NFTNL_CHAIN_HOOKNUM, hook);
    nftnl_chain_set_s32(chain.get(), NFTNL_CHAIN_PRIO, hook_priority);
    if (device != nullptr)
        nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_DEV, device);
    nftnl_chain_nlmsg_build_payload(&batch_.add(NFT_MSG_NEWCHAIN, names.protocol, NLM_F_CREATE),
                                    chain.get());
}

/// No packet ever comes to this chain. But as long as there is a tproxy statement the kernel puts
/// fragments together before the prerouting hook, and takes a packet apart again on its way out.
void Ruleset::put_reassembly(const Names& names)
{
    const ChainPtr chain(nftnl_chain_alloc());
    nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_TABLE, names.table);
    nftnl_chain_set_str(chain.get(), NFTNL_CHAIN_NAME, reassembly_chain);
    nftnl_chain_nlmsg_build_payload(&batch_.add(NFT_MSG_NEWCHAIN, names.protocol, NLM_F_CREATE),
                                    chain.get());
    reassembly_rule(names.protocol, names.table, reassembly_chain)
        .put(batch_.add(NFT_MSG_NEWRULE, names.protocol, NLM_F_CREATE | NLM_F_APPEND));
}

void Ruleset::put_rule(const Names& names, const std::string& chain, Family family,
                       std::uint32_t map_id, Reassembly reassembly)
{
    const PacketRule wanted{.family = family,
                            .protocol = names.protocol,
                            .table = names.table,
                            .chain = chain.c_str(),
                            .map = layout_.place(family).map,
                            .map_id = map_id,
                            .fragments_arrive = reassembly == Reassembly::none,
                            .longest = mtu_};
    packet_rule(wanted).put(
        batch_.add(NFT_MSG_NEWRULE, names.protocol, NLM_F_CREATE | NLM_F_APPEND));
}

void Ruleset::dump(std::uint16_t type, std::uint8_t protocol, const char* table,
                   const NetlinkSocket::OnMessage& on_message)
{
    std::array<std::byte, 512> room;
    nlmsghdr* request = nftnl_nlmsg_build_hdr(reinterpret_cast<char*>(room.data()), type, protocol,
                                              NLM_F_DUMP, socket_.next_sequence());
    if (table != nullptr)
        mnl_attr_put_strz(request, NFTA_RULE_TABLE, table);
    const int gap = socket_.dump({room.data(), request->nlmsg_len}, [&](const nlmsghdr& message) {
        // An answer has the type of the message that makes such a thing, which is the one before.
        if (message.nlmsg_type == (NFNL_SUBSYS_NFTABLES << 8 | (type - 1)))
            on_message(message);
    });
    gap_ = gap_ != 0 ? gap_ : gap;
}

std::vector<TableEntry> Ruleset::tables(std::span<const std::uint8_t> protocols)
{
    std::vector<TableEntry> result;
    for (const std::uint8_t protocol : protocols) {
        dump(NFT_MSG_GETTABLE, protocol, nullptr, [&](const nlmsghdr& message) {
            const TablePtr table(nftnl_table_alloc());
            if (nftnl_table_nlmsg_parse(&message, table.get()) != 0)
                return;
            const char* name = nftnl_table_get_str(table.get(), NFTNL_TABLE_NAME);
            result.push_back({protocol, name, comment_of(table.get())});
        });
    }
    return result;
}

Ruleset::Condition Ruleset::condition()
{
    gap_ = 0;
    const bool intact = looks_intact();
    if (gap_ != 0)
        return Condition::unknown;
    return intact ? Condition::intact : Condition::damaged;
}

bool Ruleset::looks_intact()
{
    if (mtu_ != smallest_mtu())
        return false;
    const auto present = tables(our_protocols);
    for (const std::uint8_t protocol : protocols()) {
        const bool ours = std::any_of(present.begin(), present.end(), [&](const TableEntry& entry) {
            return entry.protocol == protocol && entry.name == layout_.table() &&
                   entry.comment == layout_.comment();
        });
        const std::size_t hooks = count_hooks(protocol), rules = count_rules(protocol);
        const bool complete =
            protocol == NFPROTO_NETDEV
                ? hooks >= present_devices().size() && rules == hooks * families_.size()
                : hooks == 1 && rules == (reassembly_ == Reassembly::kernel ? 2 : 1);
        if (!ours || !complete)
            return false;
    }
    return true;
}

std::size_t Ruleset::count_rules(std::uint8_t protocol)
{
    std::size_t count = 0;
    dump(NFT_MSG_GETRULE, protocol, layout_.table(), [&](const nlmsghdr&) { ++count; });
    return count;
}

std::size_t Ruleset::count_hooks(std::uint8_t protocol)
{
    std::size_t count = 0;
    dump(NFT_MSG_GETCHAIN, protocol, nullptr, [&](const nlmsghdr& message) {
        const ChainPtr chain(nftnl_chain_alloc());
        if (nftnl_chain_nlmsg_parse(&message, chain.get()) != 0)
            return;
        count += std::strcmp(nftnl_chain_get_str(chain.get(), NFTNL_CHAIN_TABLE),
                             layout_.table()) == 0 &&
                 nftnl_chain_is_set(chain.get(), NFTNL_CHAIN_HOOKNUM);
    });
    return count;
}

mp_status Ruleset::remove()
{
    batch_.begin();
    bool any = false;
    for (const TableEntry& table : tables(our_protocols)) {
        if (table.name != layout_.table())
            continue;
        put_table(NFT_MSG_DELTABLE, {table.protocol, table.name.c_str()}, 0);
        any = true;
    }
    return !any || commit().ok() ? MP_OK : MP_E_FAILED;
}

bool Ruleset::has_neighbours()
{
    const auto forwards = [](const TableEntry& entry) {
        return entry.name.starts_with(table_prefix);
    };
    const auto ours = tables(our_protocols), others = tables(conntrack_protocols);
    return std::any_of(others.begin(), others.end(), forwards) ||
           std::any_of(ours.begin(), ours.end(), [&](const TableEntry& entry) {
               return forwards(entry) && entry.name != layout_.table();
           });
}

std::uint32_t Ruleset::generation()
{
    std::array<std::byte, 512> room;
    std::uint32_t result = 0;
    nlmsghdr* request = nftnl_nlmsg_build_hdr(reinterpret_cast<char*>(room.data()), NFT_MSG_GETGEN,
                                              NFPROTO_UNSPEC, 0, socket_.next_sequence());
    socket_.exchange({room.data(), request->nlmsg_len}, [&](const nlmsghdr& message) {
        if (error_of(message) != 0)
            return;
        for_each_attribute(message, sizeof(nfgenmsg), [&](const nlattr& attribute) {
            if (mnl_attr_get_type(&attribute) == NFTA_GEN_ID)
                result = ntohl(mnl_attr_get_u32(&attribute));
        });
    });
    return result;
}

} // namespace forwarding_nftables
