// SPDX-License-Identifier: GPL-2.0-or-later
#include "netlink_tap.hpp"

#include <cerrno>
#include <cstring>

#include <linux/netfilter/nfnetlink.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace forwarding_test
{
namespace
{

NetlinkTap* the_present = nullptr;

bool is_netlink(int fd)
{
    int domain = 0;
    socklen_t size = sizeof domain;
    return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_NETLINK;
}

/// `each(nlmsghdr&, offset)` for copies of the headers.
template <class Each>
void for_each_header(std::span<const std::byte> messages, Each&& each)
{
    nlmsghdr header;
    for (std::size_t at = 0; at + sizeof header <= messages.size();
         at += NLMSG_ALIGN(header.nlmsg_len)) {
        std::memcpy(&header, messages.data() + at, sizeof header);
        if (header.nlmsg_len < sizeof header)
            return;
        each(header, at);
    }
}

} // namespace

NetlinkTap::NetlinkTap()
{
    the_present = this;
}

NetlinkTap::~NetlinkTap()
{
    the_present = nullptr;
}

NetlinkTap* NetlinkTap::present()
{
    return the_present;
}

void NetlinkTap::spoil(std::uint16_t type, BadDump how)
{
    bad_types_[type] = how;
}

std::size_t NetlinkTap::sent(std::uint16_t type) const
{
    const auto found = sent_.find(type);
    return found == sent_.end() ? 0 : found->second;
}

void NetlinkTap::on_request(std::span<const std::byte> messages)
{
    for_each_header(messages, [&](const nlmsghdr& header, std::size_t) {
        if (header.nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES)
            return;
        const auto type = static_cast<std::uint16_t>(header.nlmsg_type & 0xff);
        const bool dump = (header.nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
        if (!dump)
            ++sent_[type];
        else if (const auto bad = bad_types_.find(type); bad != bad_types_.end())
            bad_dumps_[header.nlmsg_seq] = bad->second;
    });
}

std::size_t NetlinkTap::on_answer(std::byte* messages, std::size_t size)
{
    std::size_t left = size;
    for_each_header({messages, size}, [&](nlmsghdr header, std::size_t at) {
        const auto bad = bad_dumps_.find(header.nlmsg_seq);
        if (bad == bad_dumps_.end() || left != size)
            return;
        constexpr int error = -ENOMEM;
        const bool ends = header.nlmsg_type == NLMSG_DONE;
        if (bad->second == BadDump::refused) {
            header.nlmsg_type = NLMSG_ERROR;
            header.nlmsg_len = NLMSG_LENGTH(sizeof(nlmsgerr));
            nlmsgerr refusal{error, {}};
            std::memcpy(messages + at + NLMSG_HDRLEN, &refusal, sizeof refusal);
            left = at + header.nlmsg_len;
        } else if (!ends) {
            header.nlmsg_type = NLMSG_NOOP;
        } else if (bad->second == BadDump::given_up) {
            std::memcpy(messages + at + NLMSG_HDRLEN, &error, sizeof error);
        }
        if (bad->second == BadDump::interrupted)
            header.nlmsg_flags |= NLM_F_DUMP_INTR;
        std::memcpy(messages + at, &header, sizeof header);
    });
    return left;
}

} // namespace forwarding_test

// Plugins, too, call these instead of those of the C library.

extern "C" ssize_t sendto(int fd, const void* data, size_t size, int flags, const sockaddr* to,
                          socklen_t to_size)
{
    auto* tap = forwarding_test::NetlinkTap::present();
    if (tap != nullptr && forwarding_test::is_netlink(fd))
        tap->on_request({static_cast<const std::byte*>(data), size});
    return syscall(SYS_sendto, fd, data, size, flags, to, to_size);
}

extern "C" int recvmmsg(int fd, mmsghdr* datagrams, unsigned count, int flags, timespec* timeout)
{
    const long taken = syscall(SYS_recvmmsg, fd, datagrams, count, flags, timeout);
    auto* tap = forwarding_test::NetlinkTap::present();
    if (tap == nullptr || !forwarding_test::is_netlink(fd))
        return static_cast<int>(taken);
    for (long i = 0; i < taken; ++i) {
        auto* data = static_cast<std::byte*>(datagrams[i].msg_hdr.msg_iov->iov_base);
        datagrams[i].msg_len = static_cast<unsigned>(tap->on_answer(data, datagrams[i].msg_len));
    }
    return static_cast<int>(taken);
}
