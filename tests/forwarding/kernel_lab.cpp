// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel_lab.hpp"

#include <array>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <system_error>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace forwarding_test
{
namespace
{

[[noreturn]] void fail(const char* what)
{
    throw std::system_error(errno, std::generic_category(), what);
}

void write_file(const std::string& path, const std::string& text)
{
    std::ofstream file(path);
    file << text << std::flush;
    if (!file)
        throw std::runtime_error("cannot write " + path);
}

/// A process without privileges gets its own by a user namespace.
void become_root_of_a_namespace()
{
    if (geteuid() == 0)
        return;
    const auto uid = std::to_string(geteuid()), gid = std::to_string(getegid());
    if (unshare(CLONE_NEWUSER) != 0)
        fail("unshare of a user namespace");
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", "0 " + uid + " 1");
    write_file("/proc/self/gid_map", "0 " + gid + " 1");
}

int new_namespace()
{
    if (unshare(CLONE_NEWNET) != 0)
        fail("unshare of a network namespace");
    const int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        fail("/proc/thread-self/ns/net");
    return fd;
}

std::string output_of(const std::string& command)
{
    FILE* pipe = popen((command + " 2>&1").c_str(), "re");
    if (pipe == nullptr)
        fail("popen");
    std::string output;
    std::array<char, 4096> buffer;
    for (std::size_t size; (size = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
        output.append(buffer.data(), size);
    if (pclose(pipe) != 0)
        throw std::runtime_error(command + ": " + output);
    return output;
}

} // namespace

mp_endpoint endpoint(const std::string& address, std::uint16_t port)
{
    mp_endpoint result{};
    result.port = port;
    result.family = inet_pton(AF_INET, address.c_str(), result.address) == 1 ? 4 : 6;
    if (result.family == 6 && inet_pton(AF_INET6, address.c_str(), result.address) != 1)
        throw std::invalid_argument(address);
    return result;
}

template <class Body>
auto KernelLab::at_phones(Body&& body) const
{
    struct Visit {
        explicit Visit(const KernelLab& visited) : lab(visited)
        {
            if (setns(visited.phones_, CLONE_NEWNET) != 0)
                fail("setns");
        }
        ~Visit() { setns(lab.relay_, CLONE_NEWNET); }
        const KernelLab& lab;
    } const visit(*this);
    return body();
}

KernelLab::KernelLab()
{
    become_root_of_a_namespace();
    phones_ = new_namespace();
    relay_ = new_namespace();
    std::string folder = std::filesystem::temp_directory_path() / "kernel_lab_XXXXXX";
    if (mkdtemp(folder.data()) == nullptr)
        fail("mkdtemp");
    state_dir_ = folder;

    const std::string phones =
        "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(phones_);
    // A new namespace takes these from the machine, which may have any.
    set_sysctl("net/ipv4/ip_forward", "0");
    for (const char* which : {"all", "default"}) {
        set_sysctl(std::string("net/ipv4/conf/") + which + "/accept_local", "0");
        set_sysctl(std::string("net/ipv4/conf/") + which + "/rp_filter", "0");
    }
    run("ip link set lo up");
    for (const std::string& side : {std::string("a1"), std::string("b2")}) {
        const std::string ours = "r" + side.substr(0, 1), theirs = "p" + side.substr(0, 1);
        const std::string number = side.substr(1);
        run("ip link add " + ours + " mtu 9500 type veth peer name " + theirs + " netns " + phones);
        run("ip addr add 10.71." + number + ".1/24 dev " + ours);
        run("ip addr add fd71:" + number + "::1/64 dev " + ours + " nodad");
        run("ip link set " + ours + " up");
        run_at_phones("ip link set " + theirs + " mtu 9500");
        run_at_phones("ip addr add 10.71." + number + ".2/24 dev " + theirs);
        run_at_phones("ip addr add 10.71." + number + ".3/24 dev " + theirs);
        run_at_phones("ip addr add fd71:" + number + "::2/64 dev " + theirs + " nodad");
        run_at_phones("ip addr add fd71:" + number + "::3/64 dev " + theirs + " nodad");
        run_at_phones("ip link set " + theirs + " up");
    }
    run_at_phones("ip link set lo up");
}

KernelLab::~KernelLab()
{
    close(phones_);
    close(relay_);
    unshare(CLONE_NEWNET); // nothing keeps the two any more
    std::filesystem::remove_all(state_dir_);
}

UdpPhone KernelLab::phone(const std::string& address) const
{
    return at_phones([&] { return UdpPhone(endpoint(address)); });
}

UdpPhone KernelLab::relay_socket(const std::string& address) const
{
    return UdpPhone(endpoint(address));
}

std::string KernelLab::run(const std::string& command) const
{
    return output_of(command);
}

std::string KernelLab::run_at_phones(const std::string& command) const
{
    return at_phones([&] { return output_of(command); });
}

int KernelLab::raw_socket_at_phones(int protocol) const
{
    const int fd = at_phones([&] { return socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, protocol); });
    if (fd < 0)
        fail("raw socket");
    return fd;
}

std::string KernelLab::sysctl(const std::string& name)
{
    std::ifstream file("/proc/sys/" + name);
    std::string value;
    file >> value;
    return value;
}

void KernelLab::set_sysctl(const std::string& name, const std::string& value)
{
    write_file("/proc/sys/" + name, value);
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
    result.dscp = 255;
    return result;
}

void LabCall::greet() const
{
    caller.send(relay_caller.endpoint(), "hello");
    callee.send(relay_callee.endpoint(), "hello");
    if (!relay_caller.receive() || !relay_callee.receive())
        throw std::runtime_error("the relay hears nobody");
    relay_caller.send(caller.endpoint(), "hello");
    relay_callee.send(callee.endpoint(), "hello");
    if (!caller.receive() || !callee.receive())
        throw std::runtime_error("nobody hears the relay");
}

} // namespace forwarding_test
