// SPDX-License-Identifier: GPL-2.0-or-later
#include "routes.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "support/attributes.hpp"
#include "support/failure.hpp"

namespace forwarding_nftables
{

using mediaproxy::plugin_support::fail;
using mediaproxy::plugin_support::for_each_attribute;

namespace
{

constexpr std::uint16_t usable =
    NUD_REACHABLE | NUD_STALE | NUD_DELAY | NUD_PROBE | NUD_PERMANENT | NUD_NOARP;
constexpr std::size_t most_known = 100000; ///< answers kept

unsigned char af(Family family)
{
    return family == Family::ipv4 ? AF_INET : AF_INET6;
}

std::string text_of(Family family, const std::uint8_t* address)
{
    char text[INET6_ADDRSTRLEN];
    return inet_ntop(af(family), address, text, sizeof text);
}

} // namespace

std::unique_ptr<Routes> Routes::open(mp_error& error)
{
    auto questions = NetlinkSocket::open(error, NETLINK_ROUTE);
    auto events = questions ? NetlinkSocket::open(error, NETLINK_ROUTE) : nullptr;
    if (events == nullptr)
        return nullptr;
    for (const int group :
         {RTNLGRP_LINK, RTNLGRP_NEIGH, RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR, RTNLGRP_IPV4_ROUTE,
          RTNLGRP_IPV6_ROUTE, RTNLGRP_IPV4_RULE, RTNLGRP_IPV6_RULE}) {
        if (const int problem = events->join(group); problem != 0) {
            fail(&error, MP_E_FAILED,
                 std::string("changes of routes cannot be watched: ") + std::strerror(problem));
            return nullptr;
        }
    }
    return std::unique_ptr<Routes>(new Routes(std::move(questions), std::move(events)));
}

mp_status Routes::resolve(Family family, const mp_endpoint& local, const mp_endpoint& remote,
                          Hop& hop, mp_error& error)
{
    Question question{{}, {}, family};
    std::memcpy(question.local.data(), local.address, address_size(family));
    std::memcpy(question.remote.data(), remote.address, address_size(family));
    if (const auto found = known_.find(question); found != known_.end()) {
        hop = found->second;
        return MP_OK;
    }
    hop = {};
    if (!look_up(question, hop))
        return fail(&error, MP_E_AGAIN,
                    "there is no route from " + text_of(family, local.address) + " to " +
                        text_of(family, remote.address));
    if (!knows_neighbour(family, hop))
        return fail(&error, MP_E_AGAIN,
                    "the link address of " + text_of(family, hop.address.data()) +
                        " is not known yet");
    if (known_.size() >= most_known)
        known_.clear();
    known_.emplace(question, hop);
    return MP_OK;
}

bool Routes::look_up(const Question& question, Hop& hop)
{
    alignas(nlmsghdr) std::array<std::byte, 512> room{};
    const auto size = static_cast<std::uint16_t>(address_size(question.family));
    nlmsghdr* request = mnl_nlmsg_put_header(room.data());
    request->nlmsg_type = RTM_GETROUTE;
    request->nlmsg_flags = NLM_F_REQUEST;
    request->nlmsg_seq = questions_->next_sequence();
    auto* body = static_cast<rtmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(rtmsg)));
    body->rtm_family = af(question.family);
    body->rtm_dst_len = body->rtm_src_len = static_cast<unsigned char>(size * 8);
    mnl_attr_put(request, RTA_DST, size, question.remote.data());
    mnl_attr_put(request, RTA_SRC, size, question.local.data());

    bool unicast = false;
    const int problem =
        questions_->exchange({room.data(), request->nlmsg_len}, [&](const nlmsghdr& answer) {
            if (answer.nlmsg_type != RTM_NEWROUTE)
                return;
            const auto* route = static_cast<const rtmsg*>(mnl_nlmsg_get_payload(&answer));
            unicast = route->rtm_type == RTN_UNICAST;
            hop.address = question.remote;
            for_each_attribute(answer, sizeof(rtmsg), [&](const nlattr& attribute) {
                const int type = mnl_attr_get_type(&attribute);
                if (type == RTA_OIF)
                    hop.device = mnl_attr_get_u32(&attribute);
                else if (type == RTA_GATEWAY && mnl_attr_get_payload_len(&attribute) == size)
                    std::memcpy(hop.address.data(), mnl_attr_get_payload(&attribute), size);
                else if (type == RTA_VIA || type == RTA_ENCAP)
                    unicast = false; // a next hop of the other family, a tunnel: left to the host
            });
        });
    return problem == 0 && unicast && hop.device != 0;
}

bool Routes::knows_neighbour(Family family, const Hop& hop)
{
    alignas(nlmsghdr) std::array<std::byte, 256> room{};
    nlmsghdr* request = mnl_nlmsg_put_header(room.data());
    request->nlmsg_type = RTM_GETNEIGH;
    request->nlmsg_flags = NLM_F_REQUEST;
    request->nlmsg_seq = questions_->next_sequence();
    auto* body = static_cast<ndmsg*>(mnl_nlmsg_put_extra_header(request, sizeof(ndmsg)));
    body->ndm_family = af(family);
    body->ndm_ifindex = static_cast<int>(hop.device);
    mnl_attr_put(request, NDA_DST, address_size(family), hop.address.data());

    bool known = false;
    const int problem =
        questions_->exchange({room.data(), request->nlmsg_len}, [&](const nlmsghdr& answer) {
            if (answer.nlmsg_type == RTM_NEWNEIGH)
                known = (static_cast<const ndmsg*>(mnl_nlmsg_get_payload(&answer))->ndm_state &
                         usable) != 0;
        });
    return problem == 0 && known;
}

bool Routes::matters(const nlmsghdr& message) const
{
    if (message.nlmsg_type != RTM_NEWNEIGH && message.nlmsg_type != RTM_DELNEIGH)
        return true;
    // A neighbour that was lost, when somebody's packets go there.
    const auto* neighbour = static_cast<const ndmsg*>(mnl_nlmsg_get_payload(&message));
    if (message.nlmsg_type == RTM_NEWNEIGH && (neighbour->ndm_state & usable) != 0)
        return false;
    Hop lost{static_cast<std::uint32_t>(neighbour->ndm_ifindex), {}};
    for_each_attribute(message, sizeof(ndmsg), [&](const nlattr& attribute) {
        const std::size_t size = mnl_attr_get_payload_len(&attribute);
        if (mnl_attr_get_type(&attribute) == NDA_DST && size <= lost.address.size())
            std::memcpy(lost.address.data(), mnl_attr_get_payload(&attribute), size);
    });
    return std::any_of(known_.begin(), known_.end(),
                       [&](const auto& entry) { return entry.second == lost; });
}

bool Routes::changed()
{
    bool result = false;
    const int problem =
        events_->receive([&](const nlmsghdr& message) { result = result || matters(message); }, 64);
    if (problem != 0 && problem != EAGAIN)
        result = true; // what was not heard may have mattered
    if (result)
        known_.clear();
    return result;
}

} // namespace forwarding_nftables
