// SPDX-License-Identifier: GPL-2.0-or-later
#include "twin_sockets.hpp"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>

#include "support/unique_fd.hpp"

namespace forwarding_userspace
{

using mediaproxy::plugin_support::UniqueFd;

namespace
{

void set(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof value);
}

void copy(int from, int to, int level, int option)
{
    int value = 0;
    socklen_t size = sizeof value;
    if (getsockopt(from, level, option, &value, &size) == 0)
        set(to, level, option, value);
}

/// What the host and apply_options() have set on the leg's socket.
void copy_options(int from, int to, int family)
{
    int doubled = 0; // as the kernel counts it, its own overhead included
    socklen_t size = sizeof doubled;
    if (getsockopt(from, SOL_SOCKET, SO_RCVBUF, &doubled, &size) == 0)
        set(to, SOL_SOCKET, SO_RCVBUF, doubled / 2);
    copy(from, to, SOL_SOCKET, SO_MARK);
    if (family == AF_INET) {
        copy(from, to, IPPROTO_IP, IP_TOS);
        copy(from, to, IPPROTO_IP, IP_MTU_DISCOVER);
        return;
    }
    copy(from, to, IPPROTO_IPV6, IPV6_TCLASS);
    copy(from, to, IPPROTO_IPV6, IPV6_MTU_DISCOVER);
    copy(from, to, IPPROTO_IPV6, IPV6_V6ONLY);
}

/// Both sockets of a port have to permit it while the second is bound; after that the leg's own
/// does not, and so nobody else gets a share of the port.
class Sharing
{
public:
    explicit Sharing(int fd) : fd_(fd) { set(fd_, SOL_SOCKET, SO_REUSEADDR, 1); }
    ~Sharing() { set(fd_, SOL_SOCKET, SO_REUSEADDR, 0); }
    Sharing(const Sharing&) = delete;
    Sharing& operator=(const Sharing&) = delete;

private:
    int fd_;
};

/// Nothing open when any of it fails.
UniqueFd open_connected(const Leg& leg, const SocketAddress& own)
{
    const int family = leg.remote.any.sa_family;
    UniqueFd twin(socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (twin.value() < 0)
        return twin;
    copy_options(leg.fd, twin.value(), family);
    set(twin.value(), SOL_SOCKET, SO_REUSEADDR, 1);
    const Sharing sharing(leg.fd);
    if (bind(twin.value(), &own.any, own.size) != 0 ||
        connect(twin.value(), &leg.remote.any, leg.remote.size) != 0)
        return UniqueFd(-1);
    return twin;
}

/// Before Linux 6.13 a file that is taken out of a ring's table is closed only when every request
/// on the table that began earlier has ended. Those of a long call end with it: until then it would
/// keep the twins of all other calls, and nobody else could have their ports.
bool closes_files_at_once()
{
    using Version = std::pair<unsigned long, unsigned long>;
    utsname system{};
    if (uname(&system) != 0)
        return false;
    char* end = system.release;
    const unsigned long major = std::strtoul(end, &end, 10);
    const unsigned long minor = *end == '.' ? std::strtoul(end + 1, &end, 10) : 0;
    return Version(major, minor) >= Version(6, 13);
}

} // namespace

void TwinSockets::register_with(io_uring& ring)
{
    constexpr rlim_t most = 32768;
    rlimit descriptors{};
    if (!closes_files_at_once() || getrlimit(RLIMIT_NOFILE, &descriptors) != 0)
        return;
    const auto count = static_cast<unsigned>(std::min(descriptors.rlim_cur, most));
    if (io_uring_register_files_sparse(&ring, count) != 0)
        return;
    ring_ = &ring;
    free_.resize(count);
    for (unsigned i = 0; i < count; ++i)
        free_[i] = static_cast<int>(count - 1 - i);
}

bool TwinSockets::open(Leg& leg)
{
    SocketAddress own;
    if (free_.empty() || getsockname(leg.fd, &own.any, &own.size) != 0 ||
        own.any.sa_family != leg.remote.any.sa_family)
        return false;
    const UniqueFd twin = open_connected(leg, own);
    const int fd = twin.value();
    if (fd < 0 || io_uring_register_files_update(ring_, free_.back(), &fd, 1) != 1)
        return false;
    leg.twin.file = free_.back();
    leg.twin.own = own;
    free_.pop_back();
    return true;
}

void TwinSockets::close(Leg& leg)
{
    const int none = -1;
    io_uring_register_files_update(ring_, leg.twin.file, &none, 1);
    free_.push_back(leg.twin.file);
    leg.twin.file = -1;
}

} // namespace forwarding_userspace
