// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>

#include <linux/netlink.h>

#include <mediaproxy/types.h>

namespace mediaproxy::plugin_support
{

/// A netlink socket. The kernel works off a request inside the system call that sends it,
/// so answers never have to be waited for: exchange() blocks for nothing but the kernel's own
/// locks. Not for several threads.
class NetlinkSocket
{
public:
    /// Must not use the same socket: what arrived together with its message would be lost.
    using OnMessage = std::function<void(const nlmsghdr&)>;

    /// Null when the kernel refuses; `error` says what is missing. Buffers of 16 MiB where the
    /// privilege allows it.
    static std::unique_ptr<NetlinkSocket> open(mp_error& error, int protocol = NETLINK_NETFILTER);
    ~NetlinkSocket();
    NetlinkSocket(const NetlinkSocket&) = delete;
    NetlinkSocket& operator=(const NetlinkSocket&) = delete;

    /// For watch_fd.
    int fd() const noexcept { return fd_; }
    /// Hears the messages of a multicast group (RTNLGRP_*, NFNLGRP_*) too. 0 or an errno.
    int join(int group) noexcept;
    std::uint32_t next_sequence() noexcept { return ++sequence_; }

    /// Sends a request, or a batch of them. 0 or an errno.
    int send(std::span<const std::byte> request) noexcept;
    /// Gives what has arrived to `on_message`, at most `most` datagrams; never waits. 0 when
    /// nothing is left, EAGAIN when there may be more, ENOBUFS when answers were lost, else an
    /// errno.
    int receive(const OnMessage& on_message, std::size_t most = SIZE_MAX);
    /// send() and receive() of all answers. What is left of an earlier exchange is dropped.
    int exchange(std::span<const std::byte> request, const OnMessage& on_message);
    /// The same of a dump; 0, or why it may have left something out, an errno. That there is no
    /// such thing is an answer.
    int dump(std::span<const std::byte> request, const OnMessage& on_message);

private:
    explicit NetlinkSocket(int fd);

    int fd_;
    std::uint32_t sequence_;
    std::unique_ptr<std::byte[]> buffer_;
};

/// The error of an NLMSG_ERROR, positive; 0 for an acknowledgement and any other message.
int error_of(const nlmsghdr& message) noexcept;
/// Of an answer to a dump: why the dump may have left something out; an errno, EINTR when what it
/// lists has changed meanwhile. 0: nothing of that in this message.
int gap_of(const nlmsghdr& message) noexcept;

} // namespace mediaproxy::plugin_support
