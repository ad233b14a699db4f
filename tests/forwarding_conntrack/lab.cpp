// SPDX-License-Identifier: GPL-2.0-or-later
#include "lab.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <system_error>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

namespace conntrack_test
{
namespace
{

[[noreturn]] void fail(const char* what)
{
    throw std::system_error(errno, std::generic_category(), what);
}

int this_namespace()
{
    const int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail("/proc/thread-self/ns/net");
    return fd;
}

void enter(int name_space)
{
    if (setns(name_space, CLONE_NEWNET) != 0)
        fail("setns");
}

int new_namespace()
{
    if (unshare(CLONE_NEWNET) != 0)
        fail("a network namespace (are you root?)");
    return this_namespace();
}

mp_endpoint any_port(const std::string& address)
{
    mp_endpoint result{};
    result.family = address.find(':') == std::string::npos ? 4 : 6;
    if (inet_pton(result.family == 4 ? AF_INET : AF_INET6, address.c_str(), result.address) != 1)
        throw std::invalid_argument(address);
    return result;
}

} // namespace

Lab::Lab() : home_(this_namespace()), phones_(new_namespace()), relay_(new_namespace())
{
    make_network();
}

Lab::~Lab()
{
    setns(home_, CLONE_NEWNET);
    for (const int fd : {home_, phones_, relay_})
        close(fd);
}

void Lab::make_network() const
{
    const std::string there =
        "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(phones_);
    relay("ip link set lo up");
    phones("ip link set lo up");
    for (const std::string net : {"1", "2"}) {
        const std::string device = net == "1" ? "va" : "vb";
        relay("ip link add " + device + " type veth peer name p" + device);
        relay("ip link set p" + device + " netns " + there);
        relay("ip addr add 10.91." + net + ".1/24 dev " + device);
        relay("ip addr add fd91:" + net + "::1/64 dev " + device + " nodad");
        relay("ip link set " + device + " up");
        phones("ip addr add 10.91." + net + ".2/24 dev p" + device);
        phones("ip addr add fd91:" + net + "::2/64 dev p" + device + " nodad");
        phones("ip link set p" + device + " up");
    }
    phones("ip addr add 10.91.1.3/24 dev pva");
}

void Lab::relay(const std::string& command)
{
    if (std::system(("{ " + command + "; } >/dev/null").c_str()) != 0)
        throw std::runtime_error("failed: " + command);
}

void Lab::phones(const std::string& command) const
{
    enter(phones_);
    const int status = std::system(("{ " + command + "; } >/dev/null").c_str());
    enter(relay_);
    if (status != 0)
        throw std::runtime_error("failed among the phones: " + command);
}

std::string Lab::ask(const std::string& command)
{
    const std::unique_ptr<FILE, decltype(&pclose)> pipe(popen(command.c_str(), "r"), pclose);
    std::string answer;
    std::array<char, 4096> piece{};
    while (const std::size_t size = fread(piece.data(), 1, piece.size(), pipe.get()))
        answer.append(piece.data(), size);
    return answer;
}

std::string Lab::ask_phones(const std::string& command) const
{
    enter(phones_);
    const std::string answer = ask(command);
    enter(relay_);
    return answer;
}

void Lab::sysctl(const std::string& name, const std::string& value)
{
    std::ofstream file("/proc/sys/" + name);
    if (!(file << value << std::flush))
        throw std::runtime_error("not writable: " + name);
}

std::string Lab::sysctl(const std::string& name)
{
    std::ifstream file("/proc/sys/" + name);
    std::string value;
    file >> value;
    return value;
}

UdpPhone Lab::phone(const std::string& address) const
{
    enter(phones_);
    UdpPhone made(any_port(address));
    enter(relay_);
    return made;
}

UdpPhone Lab::socket(const std::string& address)
{
    return UdpPhone(any_port(address));
}

LabCall::LabCall(const Lab& lab, const std::string& caller_net, const std::string& callee_net,
                 const std::string& callee_host)
    : caller(lab.phone(caller_net + "2")), relay_caller(Lab::socket(caller_net + "1")),
      relay_callee(Lab::socket(callee_net + "1")), callee(lab.phone(callee_net + callee_host))
{
}

LabCall::LabCall(const Lab& lab, Family family)
    : LabCall(lab, family == Family::ipv4 ? "10.91.1." : "fd91:1::",
              family == Family::ipv4 ? "10.91.2." : "fd91:2::", "2")
{
}

LabCall LabCall::behind_one_device(const Lab& lab)
{
    return {lab, "10.91.1.", "10.91.1.", "3"};
}

mp_flow LabCall::flow(mp_flow_id id) const
{
    mp_flow result{};
    result.struct_size = sizeof result;
    result.id = id;
    result.caller_remote = caller.endpoint();
    result.caller_local = relay_caller.endpoint();
    result.callee_local = relay_callee.endpoint();
    result.callee_remote = callee.endpoint();
    result.caller_fd = relay_caller.fd();
    result.callee_fd = relay_callee.fd();
    result.orphan_timeout_ms = 600'000;
    result.dscp = 255;
    return result;
}

Folder::Folder()
{
    std::string name = "/tmp/mediaproxyd-conntrack-XXXXXX";
    if (mkdtemp(name.data()) == nullptr)
        fail("mkdtemp");
    path_ = name;
}

Folder::~Folder()
{
    std::filesystem::remove_all(path_);
}

ReadOnlySysctls::ReadOnlySysctls()
    : mounts_(open("/proc/thread-self/ns/mnt", O_RDONLY | O_CLOEXEC)),
      folder_(open(".", O_PATH | O_DIRECTORY | O_CLOEXEC))
{
    if (unshare(CLONE_NEWNS) != 0)
        fail("a mount namespace");
    Lab::relay("mount --make-rprivate / && mount --bind /proc/sys /proc/sys && "
               "mount -o remount,bind,ro /proc/sys");
}

ReadOnlySysctls::~ReadOnlySysctls()
{
    if (setns(mounts_, CLONE_NEWNS) != 0 || fchdir(folder_) != 0)
        std::abort(); // no test after this one would mean anything
    close(mounts_);
    close(folder_);
}

} // namespace conntrack_test
