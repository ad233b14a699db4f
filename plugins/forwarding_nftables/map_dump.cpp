// SPDX-License-Identifier: GPL-2.0-or-later
#include "map_dump.hpp"

#include <array>
#include <cerrno>

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>
#include <linux/netfilter/nf_tables.h>

namespace forwarding_nftables
{

using mediaproxy::plugin_support::error_of;

std::unique_ptr<MapDump> MapDump::open(mp_error& error)
{
    auto socket = NetlinkSocket::open(error);
    if (socket == nullptr)
        return nullptr;
    return std::unique_ptr<MapDump>(new MapDump(std::move(socket)));
}

MapDump::Step MapDump::start(std::vector<MapPlace> places)
{
    socket_->receive([](const nlmsghdr&) {});
    places_ = std::move(places);
    error_ = 0;
    return ask();
}

MapDump::Step MapDump::ask()
{
    if (places_.empty())
        return Step::done;
    const MapPlace& place = places_.back();
    std::array<std::byte, 512> room;
    sequence_ = socket_->next_sequence();
    nlmsghdr* request =
        nftnl_nlmsg_build_hdr(reinterpret_cast<char*>(room.data()), NFT_MSG_GETSETELEM,
                              place.protocol, NLM_F_DUMP, sequence_);
    mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_TABLE, place.table);
    mnl_attr_put_strz(request, NFTA_SET_ELEM_LIST_SET, place.map);
    error_ = socket_->send({room.data(), request->nlmsg_len});
    return error_ == 0 ? Step::more : Step::failed;
}

MapDump::Step MapDump::next(const OnElement& on_element)
{
    bool ended = false;
    const int problem = socket_->receive(
        [&](const nlmsghdr& message) {
            if (message.nlmsg_seq != sequence_)
                return;
            if (message.nlmsg_type == NLMSG_DONE)
                ended = true;
            else if (message.nlmsg_type == NLMSG_ERROR)
                error_ = error_of(message);
            else
                for_each_element(message, on_element);
        },
        1);
    if (error_ == 0 && problem != 0 && problem != EAGAIN)
        error_ = problem;
    if (error_ != 0)
        return Step::failed;
    if (!ended)
        return Step::more;
    places_.pop_back();
    return ask();
}

} // namespace forwarding_nftables
