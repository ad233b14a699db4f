// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include <cerrno>
#include <cstddef>
#include <string>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "engines.hpp"
#include "plugin_host.hpp"
#include "udp_phone.hpp"

using namespace forwarding_test;

namespace
{

/// As many containers do.
void forbid_io_uring()
{
    sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{4, code};
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

bool automatic_forwards()
{
    const Call call;
    PluginHost host(PLUGIN_PATH, {{"engine", "auto"}});
    if (host.install(call.flow(1)) != MP_OK)
        return false;
    call.caller.send(call.relay_caller.endpoint(), "hello");
    return call.callee.receive() == "hello";
}

bool io_uring_is_refused()
{
    try {
        PluginHost host(PLUGIN_PATH, {{"engine", "io_uring"}});
    } catch (const Refused& refused) {
        const std::string message = refused.what();
        return refused.status == MP_E_UNSUPPORTED && message.rfind("engine io_uring: ", 0) == 0;
    }
    return false;
}

template <typename Body>
bool without_io_uring(Body&& body)
{
    return in_a_process([&] {
        forbid_io_uring();
        return body();
    });
}

} // namespace

TEST_CASE("where io_uring is forbidden, auto takes epoll")
{
    CHECK(without_io_uring(automatic_forwards));
}

TEST_CASE("where io_uring is forbidden, asking for it is refused with a sentence")
{
    CHECK(without_io_uring(io_uring_is_refused));
}
