// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include <linux/capability.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lab.hpp"

using namespace conntrack_test;

namespace
{

void hello(const LabCall& call)
{
    call.caller.send(call.relay_caller.endpoint(), "hello");
    REQUIRE(call.callee.receive() == "hello");
}

std::size_t lines(const std::string& text)
{
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
}

/// This thread goes without CAP_NET_ADMIN as long as the object lives.
class WithoutNetAdmin
{
public:
    WithoutNetAdmin()
    {
        REQUIRE(syscall(SYS_capget, &header_, before_) == 0);
        __user_cap_data_struct less[2] = {before_[0], before_[1]};
        less[0].effective &= ~(1U << CAP_NET_ADMIN);
        REQUIRE(syscall(SYS_capset, &header_, less) == 0);
    }
    WithoutNetAdmin(const WithoutNetAdmin&) = delete;
    WithoutNetAdmin& operator=(const WithoutNetAdmin&) = delete;
    ~WithoutNetAdmin() { syscall(SYS_capset, &header_, before_); }

private:
    __user_cap_header_struct header_{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct before_[2]{};
};

} // namespace

TEST_CASE("without CAP_NET_ADMIN the back end refuses and names it")
{
    const Lab lab;
    const WithoutNetAdmin poor;
    try {
        PluginHost host(PLUGIN_PATH, {});
        FAIL("accepted");
    } catch (const Refused& refused) {
        CHECK(refused.status == MP_E_DENIED);
        CHECK(std::string(refused.what()) == "the capability CAP_NET_ADMIN is missing");
    }
}

namespace
{

/// Starts the back end where `path` is read-only, and says whether it refuses as `expected` wants.
template <class Expected>
bool refuses_where_read_only(const std::string& path, Expected expected)
{
    const pid_t child = fork(); // its mounts end with it
    REQUIRE(child >= 0);
    if (child == 0) {
        const std::string mounts = "f=" + path +
                                   "; mount --make-rprivate / && "
                                   "mount --bind $f $f && mount -o remount,bind,ro $f";
        if (unshare(CLONE_NEWNS) != 0 || std::system(mounts.c_str()) != 0)
            _exit(2);
        try {
            PluginHost host(PLUGIN_PATH, {});
        } catch (const Refused& refused) {
            _exit(expected(refused) ? 0 : 1);
        }
        _exit(3);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    REQUIRE(WIFEXITED(status));
    INFO("the child ended with " << WEXITSTATUS(status));
    CHECK(WEXITSTATUS(status) != 2);
    return WEXITSTATUS(status) == 0;
}

} // namespace

TEST_CASE("a sysctl that cannot be written is named with its value")
{
    const Lab lab;
    Lab::sysctl("net/netfilter/nf_conntrack_acct", "1");
    Lab::sysctl("net/ipv4/ip_forward", "0");
    CHECK(refuses_where_read_only("/proc/sys", [](const Refused& refused) {
        const std::string sentence = "net/ipv4/ip_forward is 0 and must be 1, but it cannot be "
                                     "written: Read-only file system";
        return refused.status == MP_E_DENIED && refused.what() == sentence;
    }));
    CHECK(Lab::ask("nft list tables").empty());
}

TEST_CASE("a back end that refuses its host leaves the sysctls as they were")
{
    const Lab lab;
    Lab::sysctl("net/netfilter/nf_conntrack_acct", "0");
    Lab::sysctl("net/ipv4/ip_forward", "0");
    CHECK(refuses_where_read_only("/proc/sys/net/ipv4/ip_forward", [](const Refused& refused) {
        return refused.status == MP_E_DENIED;
    }));
    CHECK(Lab::sysctl("net/netfilter/nf_conntrack_acct") == "0");
}

TEST_CASE("an ordinary end leaves nothing behind")
{
    const Lab lab;
    const Folder folder;
    const LabCall call(lab), six(lab, Family::ipv6);
    Lab::sysctl("net/netfilter/nf_conntrack_acct", "0");
    Lab::sysctl("net/ipv4/ip_forward", "0");
    Lab::sysctl("net/ipv6/conf/all/forwarding", "0");
    {
        PluginHost host(PLUGIN_PATH, {}, {"test", folder.path()});
        host.adopt({});
        CHECK(Lab::sysctl("net/ipv6/conf/all/forwarding") == "0"); // not before it is needed
        REQUIRE(host.install(call.flow(1)) == MP_OK);
        REQUIRE(host.install(six.flow(2)) == MP_OK);
        hello(call);
        hello(six);
        CHECK(Lab::sysctl("net/ipv4/ip_forward") == "1");
        CHECK(std::filesystem::exists(folder.path() + "/forwarding_conntrack.sysctl"));
    }
    CHECK(Lab::ask("nft list tables").empty());
    CHECK(Lab::ask("conntrack -L -w 19792 2>/dev/null").empty());
    CHECK(Lab::sysctl("net/netfilter/nf_conntrack_acct") == "0");
    CHECK(Lab::sysctl("net/ipv4/ip_forward") == "0");
    CHECK(Lab::sysctl("net/ipv6/conf/all/forwarding") == "0");
    CHECK(std::filesystem::is_empty(folder.path()));
    call.caller.send(call.relay_caller.endpoint(), "to the host");
    CHECK(call.relay_caller.receive() == "to the host");
}

TEST_CASE("the kernel does not look for sockets of forwarded packets, unless somebody wants it to")
{
    const std::string name = "net/ipv4/udp_early_demux";
    const bool wanted = GENERATE(false, true);
    const Lab lab;
    const Folder folder;
    Lab::sysctl(name, "1");
    {
        PluginHost host(PLUGIN_PATH, {}, {"test", folder.path()});
        host.adopt({});
        CHECK(Lab::sysctl(name) == "0");
        if (wanted)
            Lab::sysctl(name, "1");
        host.read();
        CHECK(Lab::sysctl(name) == (wanted ? "1" : "0"));
        host.leave();
    }
    {
        PluginHost successor(PLUGIN_PATH, {}, {"test", folder.path()});
        successor.adopt({});
        CHECK(Lab::sysctl(name) == (wanted ? "1" : "0"));
    }
    CHECK(Lab::sysctl(name) == "1");
    CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("the kernel's look for sockets stays on where the settings say so")
{
    const Lab lab;
    Lab::sysctl("net/ipv4/udp_early_demux", "1");
    PluginHost host(PLUGIN_PATH, {{"early_demux", "keep"}});
    host.adopt({});
    CHECK(Lab::sysctl("net/ipv4/udp_early_demux") == "1");
}

TEST_CASE("a host whose sysctls are right and cannot be written is good enough")
{
    const Lab lab;
    const LabCall call(lab);
    Lab::sysctl("net/netfilter/nf_conntrack_acct", "1");
    Lab::sysctl("net/ipv4/ip_forward", "1");
    Lab::sysctl("net/ipv4/udp_early_demux", "1");
    const Folder folder;
    const ReadOnlySysctls read_only;
    PluginHost host(PLUGIN_PATH, {}, {"test", folder.path()});
    host.adopt({});
    CHECK(Lab::sysctl("net/ipv4/udp_early_demux") == "1");
    CHECK(host.logged("net/ipv4/udp_early_demux stays 1: Read-only file system"));
    CHECK(std::filesystem::is_empty(folder.path()));
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    hello(call);
}

TEST_CASE("a default route that a router advertises outlives the first IPv6 flow")
{
    const Lab lab;
    const LabCall call(lab, Family::ipv6);
    Lab::sysctl("net/ipv6/conf/all/forwarding", "0");
    Lab::sysctl("net/ipv6/conf/va/accept_ra", "1");
    Lab::sysctl("net/ipv6/conf/vb/accept_ra", "0");
    {
        PluginHost host(PLUGIN_PATH, {});
        host.adopt({});
        CHECK(Lab::sysctl("net/ipv6/conf/va/accept_ra") == "1"); // not before it is needed
        REQUIRE(host.install(call.flow(1)) == MP_OK);
        hello(call);
        CHECK(Lab::sysctl("net/ipv6/conf/va/accept_ra") == "2");
        CHECK(Lab::sysctl("net/ipv6/conf/vb/accept_ra") == "0"); // somebody wants none
    }
    CHECK(Lab::sysctl("net/ipv6/conf/va/accept_ra") == "1");
    CHECK(Lab::sysctl("net/ipv6/conf/all/forwarding") == "0");
}

TEST_CASE("a successor takes over the flows it knows, with their counters, and removes the others")
{
    const Lab lab;
    const Folder folder;
    const LabCall kept(lab, GENERATE(Family::ipv4, Family::ipv6)), forgotten(lab);
    const mp_flow known = kept.flow(1), unknown = kept.flow(3);
    {
        PluginHost host(PLUGIN_PATH, {}, {"test", folder.path()});
        host.adopt({});
        REQUIRE(host.install(kept.flow(1)) == MP_OK);
        REQUIRE(host.install(forgotten.flow(2)) == MP_OK);
        hello(kept);
        hello(forgotten);
        host.leave();
    }
    hello(kept); // nobody is there, and it goes on
    {
        PluginHost host(PLUGIN_PATH, {}, {"test", folder.path()});
        hello(kept); // create() alone changes nothing
        std::vector<mp_flow_reading> so_far;
        CHECK(host.adopt({&known, &unknown}, &so_far) ==
              std::vector<mp_status>{MP_OK, MP_E_INVALID});
        CHECK(so_far[0].from_caller.packets == 3);
        CHECK(so_far[0].from_callee.packets == 0);
        hello(kept);
        forgotten.caller.send(forgotten.relay_caller.endpoint(), "to the host");
        CHECK(forgotten.relay_caller.receive() == "to the host");
        CHECK(lines(Lab::ask("conntrack -L -w 19792 2>/dev/null")) == 1);
        CHECK(host.remove(1).from_caller.packets == 4);
    }
    CHECK(Lab::sysctl("net/netfilter/nf_conntrack_acct") == "0");
}

TEST_CASE("what a dead predecessor left is removed, what belongs to another owner is not")
{
    const Lab lab;
    const LabCall ours(lab), theirs(lab);
    std::optional<PluginHost> neighbour;
    neighbour.emplace(PLUGIN_PATH, forwarding_test::SettingList{},
                      forwarding_test::HostIdentity{"the-neighbour", ""});
    neighbour->adopt({});
    REQUIRE(neighbour->install(theirs.flow(1)) == MP_OK);
    {
        PluginHost dead(PLUGIN_PATH, {});
        dead.adopt({});
        REQUIRE(dead.install(ours.flow(1)) == MP_OK);
        dead.leave();
    }
    {
        PluginHost host(PLUGIN_PATH, {});
        host.adopt({});
        CHECK(host.logged("removed 1 entries that a predecessor left"));
        ours.caller.send(ours.relay_caller.endpoint(), "to the host");
        CHECK(ours.relay_caller.receive() == "to the host");
        hello(theirs);
    }
    // Its sysctls were not taken away with ours.
    hello(theirs);
    CHECK(neighbour->read().at(1).from_caller.packets == 2);
    CHECK(lines(Lab::ask("nft list tables")) == 1);
    neighbour.reset();
    CHECK(Lab::ask("nft list tables").empty());
}

TEST_CASE("sysctls stay while a daemon with another back end forwards on this host")
{
    const std::string family = GENERATE("ip", "ip6", "netdev");
    const Lab lab;
    Lab::sysctl("net/ipv4/ip_forward", "0");
    {
        PluginHost host(PLUGIN_PATH, {});
        host.adopt({});
        Lab::relay("nft add table " + family + " mediaproxyd_neighbour");
    }
    CHECK(Lab::sysctl("net/ipv4/ip_forward") == "1");
    CHECK(Lab::ask("nft list tables") == "table " + family + " mediaproxyd_neighbour\n");
}

#ifdef NFTABLES_PLUGIN_PATH
TEST_CASE("what a dead predecessor left that used another back end is removed, sysctls included")
{
    const std::string dead_one = GENERATE(PLUGIN_PATH, NFTABLES_PLUGIN_PATH);
    const std::string next_one = dead_one == PLUGIN_PATH ? NFTABLES_PLUGIN_PATH : PLUGIN_PATH;
    const std::string owner = GENERATE("test", "mediaproxyd /var/lib/mediaproxyd");
    CAPTURE(dead_one, owner);
    const Lab lab;
    const Folder folder;
    const LabCall call(lab);
    for (const char* name : {"net/ipv4/ip_forward", "net/netfilter/nf_conntrack_acct"})
        Lab::sysctl(name, "0");
    Lab::sysctl("net/ipv4/udp_early_demux", "1");
    {
        PluginHost dead(dead_one, {}, {owner, folder.path()});
        dead.adopt({});
        REQUIRE(dead.install(call.flow(1)) == MP_OK);
        hello(call);
        dead.leave();
    }
    {
        PluginHost next(next_one, {}, {owner, folder.path()});
        hello(call); // create() alone changes nothing
        next.adopt({});
        CHECK(next.logged("of a predecessor that used the back end"));
        call.caller.send(call.relay_caller.endpoint(), "to the host");
        CHECK(call.relay_caller.receive() == "to the host");
    }
    CHECK(Lab::ask("nft list tables").empty());
    CHECK(Lab::sysctl("net/ipv4/ip_forward") == "0");
    CHECK(Lab::sysctl("net/netfilter/nf_conntrack_acct") == "0");
    CHECK(Lab::sysctl("net/ipv4/udp_early_demux") == "1");
    CHECK(std::filesystem::is_empty(folder.path()));
}
#endif
