// SPDX-License-Identifier: GPL-2.0-or-later
#include "socket_options.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <linux/filter.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/udp.h>
#include <sys/socket.h>

namespace forwarding_userspace
{
namespace
{

mp_status refuse(mp_error& error, const char* option, const mp_flow& flow)
{
    const bool denied = errno == EPERM || errno == EACCES;
    std::snprintf(error.message, sizeof error.message, "flow %llu: %s: %s",
                  static_cast<unsigned long long>(flow.id), option, std::strerror(errno));
    return denied ? MP_E_DENIED : MP_E_FAILED;
}

} // namespace

mp_status apply_options(int fd, const mp_flow& flow, std::uint8_t family, mp_error& error)
{
    if (flow.mark != 0 && setsockopt(fd, SOL_SOCKET, SO_MARK, &flow.mark, sizeof flow.mark) != 0)
        return refuse(error, "the packet mark", flow);
    if (flow.dscp > 63)
        return MP_OK;
    const int traffic_class = flow.dscp << 2;
    const int level = family == 4 ? IPPROTO_IP : IPPROTO_IPV6;
    const int option = family == 4 ? IP_TOS : IPV6_TCLASS;
    if (setsockopt(fd, level, option, &traffic_class, sizeof traffic_class) != 0)
        return refuse(error, "the DSCP", flow);
    return MP_OK;
}

bool set_gro(int fd, Gro gro)
{
    const int value = gro == Gro::on ? 1 : 0;
    return setsockopt(fd, IPPROTO_UDP, UDP_GRO, &value, sizeof value) == 0;
}

void refuse_packets(int fd)
{
    sock_filter none = BPF_STMT(BPF_RET | BPF_K, 0);
    const sock_fprog program{1, &none};
    setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof program);
}

void accept_packets(int fd)
{
    const int unused = 0;
    setsockopt(fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused);
}

void clear_errors(int fd)
{
    int pending = 0;
    socklen_t size = sizeof pending;
    getsockopt(fd, SOL_SOCKET, SO_ERROR, &pending, &size);
    constexpr int most = 64; // a turn stays bounded even when errors keep coming
    char byte = 0;
    for (int i = 0; i < most && recv(fd, &byte, 1, MSG_ERRQUEUE | MSG_DONTWAIT) >= 0; ++i)
        ;
}

} // namespace forwarding_userspace
