// SPDX-License-Identifier: GPL-2.0-or-later
#include "entries.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <libnetfilter_conntrack/libnetfilter_conntrack.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

namespace forwarding_conntrack
{
namespace
{

using mediaproxy::plugin_support::error_of;

constexpr std::size_t capacity = 512 << 10;
constexpr std::size_t flows_at_once = 128; ///< with up to three messages each
constexpr std::uint32_t our_status = IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED;

struct Release {
    void operator()(nf_conntrack* entry) const { nfct_destroy(entry); }
};
using Entry = std::unique_ptr<nf_conntrack, Release>;

std::uint8_t af_of(const Flow& flow)
{
    return flow.family() == 4 ? AF_INET : AF_INET6;
}

/// The attributes of one direction's tuple, as libnetfilter_conntrack numbers them.
struct TupleAttributes {
    nf_conntrack_attr ipv4_source, ipv4_destination, ipv6_source, ipv6_destination;
    nf_conntrack_attr family, protocol, port_source, port_destination;
};
constexpr TupleAttributes original{ATTR_ORIG_IPV4_SRC, ATTR_ORIG_IPV4_DST, ATTR_ORIG_IPV6_SRC,
                                   ATTR_ORIG_IPV6_DST, ATTR_ORIG_L3PROTO,  ATTR_ORIG_L4PROTO,
                                   ATTR_ORIG_PORT_SRC, ATTR_ORIG_PORT_DST};
constexpr TupleAttributes reply{ATTR_REPL_IPV4_SRC, ATTR_REPL_IPV4_DST, ATTR_REPL_IPV6_SRC,
                                ATTR_REPL_IPV6_DST, ATTR_REPL_L3PROTO,  ATTR_REPL_L4PROTO,
                                ATTR_REPL_PORT_SRC, ATTR_REPL_PORT_DST};

void set_tuple(nf_conntrack* entry, const TupleAttributes& in, const mp_endpoint& source,
               const mp_endpoint& destination)
{
    const bool v4 = source.family == 4;
    nfct_set_attr_u8(entry, in.family, v4 ? AF_INET : AF_INET6);
    nfct_set_attr_u8(entry, in.protocol, IPPROTO_UDP);
    nfct_set_attr(entry, v4 ? in.ipv4_source : in.ipv6_source, source.address);
    nfct_set_attr(entry, v4 ? in.ipv4_destination : in.ipv6_destination, destination.address);
    nfct_set_attr_u16(entry, in.port_source, htons(source.port));
    nfct_set_attr_u16(entry, in.port_destination, htons(destination.port));
}

/// The kernel turns the reply tuple, which it wants as the original's inverse, into
/// callee_remote -> callee_local by these translations.
void set_entry(nf_conntrack* entry, const Flow& flow)
{
    const bool v4 = flow.family() == 4;
    set_tuple(entry, original, flow.caller_remote, flow.caller_local);
    set_tuple(entry, reply, flow.caller_local, flow.caller_remote);
    nfct_set_attr(entry, v4 ? ATTR_DNAT_IPV4 : ATTR_DNAT_IPV6, flow.callee_remote.address);
    nfct_set_attr(entry, v4 ? ATTR_SNAT_IPV4 : ATTR_SNAT_IPV6, flow.callee_local.address);
    nfct_set_attr_u16(entry, ATTR_DNAT_PORT, htons(flow.callee_remote.port));
    nfct_set_attr_u16(entry, ATTR_SNAT_PORT, htons(flow.callee_local.port));
    nfct_set_attr_u32(entry, ATTR_TIMEOUT, flow.timeout_s);
    nfct_set_attr_u32(entry, ATTR_STATUS, our_status);
}

} // namespace

Entries::Entries(NetlinkSocket& socket, std::uint16_t zone, std::uint32_t mark)
    : socket_(socket), zone_(zone), mark_(mark),
      buffer_(std::make_unique_for_overwrite<std::byte[]>(capacity))
{
}

void Entries::begin()
{
    size_ = messages_ = 0;
    last_ = nullptr;
}

nlmsghdr& Entries::add(std::uint16_t type, std::uint8_t family, std::uint16_t flags)
{
    if (last_ != nullptr)
        size_ += MNL_ALIGN(last_->nlmsg_len);
    last_ = mnl_nlmsg_put_header(buffer_.get() + size_);
    last_->nlmsg_type = static_cast<std::uint16_t>((NFNL_SUBSYS_CTNETLINK << 8) | type);
    last_->nlmsg_flags = NLM_F_REQUEST | flags;
    last_->nlmsg_seq = socket_.next_sequence();
    if (messages_++ == 0)
        first_sequence_ = last_->nlmsg_seq;
    auto* header = static_cast<nfgenmsg*>(mnl_nlmsg_put_extra_header(last_, sizeof(nfgenmsg)));
    header->nfgen_family = family;
    header->version = NFNETLINK_V0;
    return *last_;
}

int Entries::commit(const OnAnswer& on_answer)
{
    if (last_ == nullptr)
        return 0;
    size_ += MNL_ALIGN(last_->nlmsg_len);
    last_ = nullptr;
    return socket_.exchange({buffer_.get(), size_}, [&](const nlmsghdr& message) {
        const std::size_t index = message.nlmsg_seq - first_sequence_;
        if (index < messages_)
            on_answer(index, message);
    });
}

/// Splits what a batch has no room for.
template <typename Each>
void Entries::in_pieces(FlowSpan flows, Each&& each)
{
    for (std::size_t start = 0; start < flows.size(); start += flows_at_once)
        each(start, flows.subspan(start, std::min(flows_at_once, flows.size() - start)));
}

void Entries::create(FlowSpan flows, int* errors)
{
    in_pieces(flows, [&](std::size_t start, FlowSpan piece) {
        begin();
        for (const Flow* flow : piece) {
            const Entry entry(nfct_new());
            set_entry(entry.get(), *flow);
            nfct_set_attr_u16(entry.get(), ATTR_ZONE, zone_);
            nfct_set_attr_u32(entry.get(), ATTR_MARK, mark_);
            nfct_nlmsg_build(&add(IPCTNL_MSG_CT_NEW, af_of(*flow), NLM_F_CREATE | NLM_F_EXCL),
                             entry.get());
        }
        std::fill_n(errors + start, piece.size(), 0);
        const int failed = commit([&](std::size_t index, const nlmsghdr& message) {
            errors[start + index] = error_of(message);
        });
        if (failed == 0)
            return;
        // Verdicts are missing: what is there now decides.
        std::vector<State> states(piece.size());
        read(piece, states.data());
        for (std::size_t i = 0; i < piece.size(); ++i)
            errors[start + i] = states[i].error == ENOENT ? EEXIST : states[i].error;
    });
}

void Entries::add_delete(const Flow& flow, const mp_endpoint& source,
                         const mp_endpoint& destination)
{
    const Entry entry(nfct_new());
    set_tuple(entry.get(), original, source, destination);
    nfct_set_attr_u16(entry.get(), ATTR_ZONE, zone_);
    nfct_nlmsg_build(&add(IPCTNL_MSG_CT_DELETE, af_of(flow), 0), entry.get());
}

void Entries::clear(FlowSpan flows)
{
    in_pieces(flows, [&](std::size_t, FlowSpan piece) {
        begin();
        for (const Flow* flow : piece) {
            add_delete(*flow, flow->caller_remote, flow->caller_local);
            add_delete(*flow, flow->callee_remote, flow->callee_local);
        }
        // Most of them do not exist, and what stays is found out by create().
        commit([](std::size_t, const nlmsghdr&) {});
    });
}

void Entries::read(FlowSpan flows, State* states)
{
    in_pieces(flows, [&](std::size_t start, FlowSpan piece) {
        if (query({piece, states + start, false}) != ENOBUFS)
            return;
        for (std::size_t i = 0; i < piece.size(); ++i) // one answer always fits
            query({piece.subspan(i, 1), states + start + i, false});
    });
}

void Entries::take(FlowSpan flows, State* states)
{
    in_pieces(flows, [&](std::size_t start, FlowSpan piece) {
        query({piece, states + start, true});
    });
}

int Entries::query(const Query& query)
{
    const std::size_t per_flow = query.and_delete ? 2 : 1;
    begin();
    for (std::size_t i = 0; i < query.flows.size(); ++i) {
        const Flow& flow = *query.flows[i];
        const Entry entry(nfct_new());
        set_tuple(entry.get(), original, flow.caller_remote, flow.caller_local);
        nfct_set_attr_u16(entry.get(), ATTR_ZONE, zone_);
        nfct_nlmsg_build(&add(IPCTNL_MSG_CT_GET, af_of(flow), 0), entry.get());
        if (query.and_delete)
            nfct_nlmsg_build(&add(IPCTNL_MSG_CT_DELETE, af_of(flow), 0), entry.get());
        query.states[i] = State{.error = ENOBUFS}; // until answered
    }
    return commit([&](std::size_t index, const nlmsghdr& message) {
        if (index % per_flow != 0)
            return;
        State& state = query.states[index / per_flow];
        state = {.error = error_of(message)};
        if (state.error != 0)
            return;
        const KernelEntry found = to_entry(message);
        if (is_ours(found) && same_path(found.flow, *query.flows[index / per_flow]))
            state = {.traffic = found.traffic, .timeout_s = found.timeout_s};
        else
            state = {.error = ENOENT}; // somebody's packet made it
    });
}

void Entries::prolong(FlowSpan flows)
{
    in_pieces(flows, [&](std::size_t, FlowSpan piece) {
        begin();
        for (const Flow* flow : piece) {
            const Entry entry(nfct_new());
            set_tuple(entry.get(), original, flow->caller_remote, flow->caller_local);
            nfct_set_attr_u16(entry.get(), ATTR_ZONE, zone_);
            nfct_set_attr_u32(entry.get(), ATTR_TIMEOUT, flow->timeout_s);
            nfct_nlmsg_build(&add(IPCTNL_MSG_CT_NEW, af_of(*flow), 0), entry.get());
        }
        // An entry that has gone meanwhile is put back at the next reading.
        commit([](std::size_t, const nlmsghdr&) {});
    });
}

int Entries::list(std::vector<Flow>& found)
{
    int error = 0;
    for (const std::uint8_t family : {AF_INET, AF_INET6}) {
        begin();
        nlmsghdr& request = add(IPCTNL_MSG_CT_GET, family, NLM_F_DUMP);
        mnl_attr_put_u32(&request, CTA_MARK, htonl(mark_));
        mnl_attr_put_u32(&request, CTA_MARK_MASK, UINT32_MAX);
        const int failed = commit([&](std::size_t, const nlmsghdr& message) {
            if (message.nlmsg_type == NLMSG_ERROR)
                error = error_of(message);
            if (message.nlmsg_type == NLMSG_ERROR || message.nlmsg_type == NLMSG_DONE)
                return;
            const KernelEntry entry = to_entry(message);
            if (!is_ours(entry))
                return;
            found.push_back(entry.flow);
            found.back().seen = entry.traffic;
        });
        error = error != 0 ? error : failed;
    }
    return error;
}

bool Entries::is_ours(const KernelEntry& entry) const
{
    return entry.mark == mark_ && entry.zone == zone_;
}

} // namespace forwarding_conntrack
