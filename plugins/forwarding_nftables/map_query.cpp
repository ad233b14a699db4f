// SPDX-License-Identifier: GPL-2.0-or-later
#include "map_query.hpp"

#include <algorithm>
#include <array>
#include <cerrno>

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter/nf_tables.h>

namespace forwarding_nftables
{
namespace
{

using mediaproxy::plugin_support::error_of;
using mediaproxy::plugin_support::NetlinkSocket;

constexpr std::size_t ways_at_once = 32; ///< each answer takes some KiB of the socket's buffer
constexpr std::size_t longest_request = 512;

} // namespace

void query_ways(NetlinkSocket& socket, const Layout& layout, std::span<const FlowTable::Place> ways,
                std::span<int> problems, const OnElement& on_element)
{
    std::fill(problems.begin(), problems.end(), EAGAIN); // as long as there is no answer
    // A message for each, as the kernel leaves off at the first one that is not there.
    alignas(nlmsghdr) std::array<std::byte, ways_at_once * longest_request> room;
    for (std::size_t begin = 0; begin < ways.size(); begin += ways_at_once) {
        const auto some = ways.subspan(begin, std::min(ways_at_once, ways.size() - begin));
        std::size_t size = 0;
        std::uint32_t last = 0;
        for (const auto& [flow, side] : some) {
            const MapPlace place = layout.place(flow->family);
            last = socket.next_sequence();
            nlmsghdr* request = nftnl_nlmsg_build_hdr(reinterpret_cast<char*>(room.data() + size),
                                                      NFT_MSG_GETSETELEM, place.protocol, 0, last);
            put_elements(*request, place, {&flow->ways[side].key, 1}, {});
            size += MNL_ALIGN(request->nlmsg_len);
        }
        const auto first = static_cast<std::uint32_t>(last - some.size() + 1);
        socket.exchange({room.data(), size}, [&](const nlmsghdr& message) {
            const std::uint32_t place = message.nlmsg_seq - first;
            if (place >= some.size())
                return;
            problems[begin + place] = error_of(message);
            for_each_element(message, on_element);
        });
    }
}

} // namespace forwarding_nftables
