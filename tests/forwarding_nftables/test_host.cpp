// SPDX-License-Identifier: GPL-2.0-or-later
// What this back end needs of its host, what it leaves there, and whom it meets.
#include <csignal>
#include <cstring>
#include <fstream>

#include <linux/capability.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nftables.hpp"

using namespace forwarding_test;

namespace
{

const char* const forward = "net/ipv4/ip_forward";
const char* const early_demux = "net/ipv4/udp_early_demux";
const char* const accept_local = "net/ipv4/conf/all/accept_local";
const char* const rp_filter = "net/ipv4/conf/all/rp_filter";

/// Runs `body` in a process of its own and gives what it returned, over a pipe.
template <class Body>
std::string in_child(Body&& body)
{
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    const pid_t child = fork();
    if (child == 0) {
        const std::string text = body();
        [[maybe_unused]] const auto written = write(ends[1], text.data(), text.size());
        _exit(0);
    }
    close(ends[1]);
    char buffer[512];
    const ssize_t size = read(ends[0], buffer, sizeof buffer);
    close(ends[0]);
    waitpid(child, nullptr, 0);
    return {buffer, static_cast<std::size_t>(size > 0 ? size : 0)};
}

std::string refusal(const KernelLab& lab, const SettingList& settings = {})
{
    try {
        start(lab, settings);
        return "taken";
    } catch (const Refused& refused) {
        return std::to_string(refused.status) + " " + refused.what();
    }
}

void drop_net_admin()
{
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    syscall(SYS_capget, &header, data);
    data[0].effective &= ~(1U << CAP_NET_ADMIN);
    data[0].permitted &= ~(1U << CAP_NET_ADMIN);
    syscall(SYS_capset, &header, data);
}

/// As systemd starts a service with `AmbientCapabilities=CAP_NET_ADMIN`.
void keep_net_admin_alone()
{
    constexpr uid_t nobody = 65534;
    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    [[maybe_unused]] const auto changed = setresuid(nobody, nobody, nobody);
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct data[2]{};
    data[0].effective = data[0].permitted = 1U << CAP_NET_ADMIN;
    syscall(SYS_capset, &header, data);
}

void make_sysctls_read_only()
{
    unshare(CLONE_NEWNS);
    mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
    mount("/proc/sys", "/proc/sys", nullptr, MS_BIND, nullptr);
    mount(nullptr, "/proc/sys", nullptr, MS_BIND | MS_REMOUNT | MS_RDONLY, nullptr);
}

/// Files cannot grow as long as the object lives, as if the disk was full. Sysctls can be written.
class FullDisk
{
public:
    FullDisk() : handler_(std::signal(SIGXFSZ, SIG_IGN))
    {
        REQUIRE(getrlimit(RLIMIT_FSIZE, &before_) == 0);
        const rlimit none{0, before_.rlim_max};
        REQUIRE(setrlimit(RLIMIT_FSIZE, &none) == 0);
    }
    FullDisk(const FullDisk&) = delete;
    FullDisk& operator=(const FullDisk&) = delete;
    ~FullDisk()
    {
        setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }

private:
    void (*handler_)(int);
    rlimit before_{};
};

} // namespace

TEST_CASE("sysctls are set, and put back when the daemon stops")
{
    const KernelLab lab;
    KernelLab::set_sysctl(forward, "0");
    KernelLab::set_sysctl(accept_local, "0");
    KernelLab::set_sysctl(rp_filter, "1");
    KernelLab::set_sysctl(early_demux, "1");
    {
        const auto host = start(lab);
        CHECK(KernelLab::sysctl(forward) == "1");
        CHECK(KernelLab::sysctl(accept_local) == "1");
        CHECK(KernelLab::sysctl(early_demux) == "0");
        CHECK(KernelLab::sysctl(rp_filter) == "2");
        const LabCall call(lab);
        REQUIRE(host->install(call.flow(1)) == MP_OK);
        check_forwards(call);
    }
    CHECK(KernelLab::sysctl(forward) == "0");
    CHECK(KernelLab::sysctl(accept_local) == "0");
    CHECK(KernelLab::sysctl(rp_filter) == "1");
    CHECK(KernelLab::sysctl(early_demux) == "1");
    CHECK(lab.run("nft list ruleset").empty());
}

TEST_CASE("who wants the kernel to look for sockets early is not overruled while streams go on")
{
    const KernelLab lab;
    const LabCall call(lab, GENERATE(Family::ipv4, Family::ipv6));
    const bool at_the_start = GENERATE(true, false);
    KernelLab::set_sysctl(early_demux, "1");
    const auto host = start(lab, {{"early_demux", at_the_start ? "keep" : "off"}});
    CHECK(KernelLab::sysctl(early_demux) == (at_the_start ? "1" : "0"));
    KernelLab::set_sysctl(early_demux, "1");
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    host->read();
    CHECK(KernelLab::sysctl(early_demux) == "1");
}

TEST_CASE("what sysctls were before another boot is not put back")
{
    const std::string boot = GENERATE(
        "", "kernel/random/boot_id 11111111-2222-3333-4444-555555555555 "
            "11111111-2222-3333-4444-555555555555\n"); // "": as the first versions wrote it
    const std::string back_end = GENERATE("nftables", "conntrack");
    const std::string local_before = GENERATE("0", "1");
    CAPTURE(boot, back_end, local_before);
    const KernelLab lab;
    const std::string path = lab.state_dir() + "/forwarding_" + back_end + ".sysctl";
    std::ofstream(path) << boot << forward << " 0 1\n";
    KernelLab::set_sysctl(forward, "1"); // by somebody who needs it
    KernelLab::set_sysctl(accept_local, local_before);
    {
        const auto host = start(lab);
        CHECK(host->logged(path + " is of another boot"));
        std::ifstream kept(lab.state_dir() + "/forwarding_nftables.sysctl");
        const std::string text{std::istreambuf_iterator<char>(kept), {}};
        CHECK(text.find(forward) == std::string::npos);
        CHECK((text.find(accept_local) != std::string::npos) == (local_before == "0"));
    }
    CHECK(KernelLab::sysctl(forward) == "1");
    CHECK(KernelLab::sysctl(accept_local) == local_before);
    CHECK(std::filesystem::is_empty(lab.state_dir()));
}

TEST_CASE("a full disk does not lose what sysctls were before")
{
    const KernelLab lab;
    KernelLab::set_sysctl(rp_filter, "0");
    start(lab)->leave();
    KernelLab::set_sysctl(rp_filter, "1");
    {
        const FullDisk full;
        const auto host = start(lab);
        CHECK(KernelLab::sysctl(rp_filter) == "2");
        CHECK(host->logged("forwarding_nftables.sysctl cannot be written: "));
        host->leave();
    }
    start(lab);
    CHECK(KernelLab::sysctl(forward) == "0");
    CHECK(KernelLab::sysctl(accept_local) == "0");
    CHECK(std::filesystem::is_empty(lab.state_dir()));
}

TEST_CASE("a strict reverse path check of devices is no hindrance")
{
    const KernelLab lab;
    for (const char* device : {"all", "ra", "rb"})
        KernelLab::set_sysctl(std::string("net/ipv4/conf/") + device + "/rp_filter", "1");
    const LabCall call(lab);
    const auto host = start(lab);
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    check_forwards(call);
}

TEST_CASE("IPv6 forwarding is turned on with the first IPv6 flow; default routes stay")
{
    const KernelLab lab;
    KernelLab::set_sysctl("net/ipv6/conf/all/forwarding", "0");
    KernelLab::set_sysctl("net/ipv6/conf/ra/accept_ra", "1");
    const LabCall call(lab, Family::ipv6);
    {
        const auto host = start(lab);
        CHECK(KernelLab::sysctl("net/ipv6/conf/all/forwarding") == "0");
        REQUIRE(host->install(call.flow(1)) == MP_OK);
        CHECK(KernelLab::sysctl("net/ipv6/conf/all/forwarding") == "1");
        CHECK(KernelLab::sysctl("net/ipv6/conf/ra/accept_ra") == "2");
        check_forwards(call);
    }
    CHECK(KernelLab::sysctl("net/ipv6/conf/all/forwarding") == "0");
    CHECK(KernelLab::sysctl("net/ipv6/conf/ra/accept_ra") == "1");
}

TEST_CASE("on devices no sysctl is changed")
{
    const KernelLab lab;
    KernelLab::set_sysctl(forward, "0");
    KernelLab::set_sysctl(early_demux, "1");
    KernelLab::set_sysctl("net/ipv6/conf/all/forwarding", "0");
    const Family family = GENERATE(Family::ipv4, Family::ipv6);
    const LabCall call(lab, family);
    call.greet();
    const auto host = start(lab, settings_for(Hook::devices));
    REQUIRE(host->install(call.flow(1)) == MP_OK);
    check_forwards(call);
    CHECK(KernelLab::sysctl(forward) == "0");
    CHECK(KernelLab::sysctl(accept_local) == "0");
    CHECK(KernelLab::sysctl(early_demux) == "1");
    CHECK(KernelLab::sysctl("net/ipv6/conf/all/forwarding") == "0");
}

TEST_CASE("sysctls stay while a second daemon forwards, and the two do not meet")
{
    const KernelLab lab;
    KernelLab::set_sysctl(forward, "0");
    const LabCall first_call(lab), second_call(lab);
    auto first = start(lab, {}, "first");
    const auto second = start(lab, {}, "second");
    REQUIRE(first->install(first_call.flow(1)) == MP_OK);
    REQUIRE(second->install(second_call.flow(1)) == MP_OK);
    check_forwards(first_call);
    check_forwards(second_call);
    first.reset();
    CHECK(KernelLab::sysctl(forward) == "1");
    check_forwards(second_call);
    CHECK(lab.run("nft list tables").find("mediaproxyd_first") == std::string::npos);
}

TEST_CASE("sysctls stay while a daemon with another back end forwards on this host")
{
    const std::string neighbour = "mediaproxyd_neighbour";
    const KernelLab lab;
    KernelLab::set_sysctl(forward, "0");
    lab.run("nft add table inet " + neighbour); // as conntrack names it
    {
        const LabCall call(lab);
        const auto host = start(lab);
        REQUIRE(host->install(call.flow(1)) == MP_OK);
        check_forwards(call);
    }
    CHECK(KernelLab::sysctl(forward) == "1");
    CHECK(lab.run("nft list tables") == "table inet " + neighbour + "\n");
}

TEST_CASE("a sysctl that cannot be set is named")
{
    const KernelLab lab;
    KernelLab::set_sysctl(forward, "0");
    const std::string said = in_child([&] {
        make_sysctls_read_only();
        return refusal(lab);
    });
    CHECK(said.find("-4 net/ipv4/ip_forward is 0 and must be 1, but it cannot be written") == 0);
}

TEST_CASE("without CAP_NET_ADMIN the capability is named")
{
    const KernelLab lab;
    const std::string said = in_child([&] {
        drop_net_admin();
        return refusal(lab);
    });
    CHECK(said.find("-4 ") == 0);
    CHECK(said.find("CAP_NET_ADMIN") != std::string::npos);
}

TEST_CASE("CAP_NET_ADMIN alone is enough, sysctls included")
{
    const Hook hook = GENERATE(Hook::prerouting, Hook::devices);
    const KernelLab lab;
    KernelLab::set_sysctl(forward, "0");
    const LabCall call(lab);
    call.greet();
    const std::string said = in_child([&]() -> std::string {
        keep_net_admin_alone();
        try {
            const auto host = start(lab, settings_for(hook));
            return host->install(call.flow(1)) == MP_OK ? "installed" : "refused";
        } catch (const Refused& refused) {
            return refused.what();
        }
    });
    CHECK(said == "installed");
}

TEST_CASE("wrong settings are named")
{
    const KernelLab lab;
    CHECK(refusal(lab, {{"map_size", "0"}}) ==
          "-2 map_size = \"0\": it must be a number from 16 to 4194304");
    CHECK(refusal(lab, {{"forward_chain", "maybe"}}) ==
          "-2 forward_chain = \"maybe\": it must be \"check\" or \"trust\"");
    CHECK(refusal(lab, {{"early_demux", "on"}}) ==
          "-2 early_demux = \"on\": it must be \"off\" or \"keep\"");
    CHECK(refusal(lab, {{"devices", "ra"}, {"devices", "nowhere"}}) ==
          "-2 devices: there is no device nowhere");
}

TEST_CASE("a refused start leaves nothing behind")
{
    const KernelLab lab;
    lab.run("nft add table ip guard");
    lab.run(
        "nft add chain ip guard guarding '{ type filter hook forward priority 0; policy drop; }'");
    KernelLab::set_sysctl(forward, "0");
    CHECK(refusal(lab) != "taken");
    CHECK(KernelLab::sysctl(forward) == "0");
    CHECK(lab.run("nft list tables").find("mediaproxyd_") == std::string::npos);
}

TEST_CASE("leftovers of a predecessor are removed, whatever its settings were")
{
    const Hook before = GENERATE(Hook::prerouting, Hook::devices);
    const Hook after = GENERATE(Hook::prerouting, Hook::devices);
    const KernelLab lab;
    const LabCall call(lab);
    call.greet();
    {
        const auto host = start(lab, settings_for(before));
        REQUIRE(host->install(call.flow(1)) == MP_OK);
        host->leave();
    }
    check_forwards(call);
    const auto host = start(lab, settings_for(after));
    call.caller.send(call.relay_caller.endpoint(), "slow");
    CHECK(call.relay_caller.receive() == "slow");
    const std::string tables = lab.run("nft list tables");
    CHECK((tables.find("table ip mediaproxyd_test") != std::string::npos) ==
          (after == Hook::prerouting));
    CHECK((tables.find("table netdev mediaproxyd_test") != std::string::npos) ==
          (after == Hook::devices));
}

TEST_CASE("flows that were left forwarding are taken over with their counters")
{
    const Hook hook = GENERATE(Hook::prerouting, Hook::devices);
    const KernelLab lab;
    KernelLab::set_sysctl(forward, "0");
    const LabCall kept(lab), forgotten(lab), moved(lab), sixth(lab, Family::ipv6);
    for (const LabCall* call : {&kept, &forgotten, &moved, &sixth})
        call->greet();
    {
        const auto host = start(lab, settings_for(hook));
        for (const auto& flow : {kept.flow(1), forgotten.flow(2), moved.flow(3), sixth.flow(4)})
            REQUIRE(host->install(flow) == MP_OK);
        check_forwards(kept);
        check_forwards(sixth);
        host->leave();
    }
    check_forwards(kept); // nobody is there
    {
        PluginHost host(PLUGIN_PATH, settings_for(hook), HostIdentity{"test", lab.state_dir()});
        mp_flow elsewhere = moved.flow(3);
        elsewhere.callee_remote = kept.flow(1).callee_remote;
        const mp_flow first = kept.flow(1), fourth = sixth.flow(4);
        std::vector<mp_flow_reading> so_far;
        const auto each = host.adopt({&first, &elsewhere, &fourth}, &so_far);
        CHECK(each == std::vector<mp_status>{MP_OK, MP_E_AGAIN, MP_OK});
        CHECK(so_far[0].from_caller.packets == 2);
        CHECK(so_far[1].from_caller.packets == 0);
        CHECK(so_far[2].from_callee.packets == 1);
        check_forwards(kept);
        check_forwards(sixth);
        for (const LabCall* gone : {&forgotten, &moved}) {
            gone->caller.send(gone->relay_caller.endpoint(), "slow");
            CHECK(gone->relay_caller.receive() == "slow");
        }
        CHECK(host.read().at(1).from_caller.packets == 3);
        CHECK(host.remove(1).from_caller.packets == 3);
    }
    CHECK(KernelLab::sysctl(forward) == "0"); // which the predecessor had changed
}

TEST_CASE("a table of another layout is not taken over")
{
    const KernelLab lab;
    const LabCall call(lab);
    {
        const auto host = start(lab, {{"map_size", "100"}});
        REQUIRE(host->install(call.flow(1)) == MP_OK);
        host->leave();
    }
    PluginHost host(PLUGIN_PATH, {{"map_size", "200"}}, HostIdentity{"test", lab.state_dir()});
    const mp_flow flow = call.flow(1);
    CHECK(host.adopt({&flow}) == std::vector<mp_status>{MP_E_AGAIN});
    CHECK(host.install(flow) == MP_OK);
    check_forwards(call);
}
