// SPDX-License-Identifier: GPL-2.0-or-later
// What installing and removing flows costs a kernel back end: CPU microseconds a call (a flow, both
// directions), one at a time and in bursts, and how much of that the kernel takes to carry it out
// and to answer; as JSON. Usage: install_cost PLUGIN.so [calls installed meanwhile] [KEY=VALUE]...
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "../../forwarding/kernel_lab.hpp"
#include "../../forwarding/plugin_host.hpp"

using namespace forwarding_test;

namespace
{

constexpr int rounds = 80;
constexpr std::size_t burst = 20;

/// Of this thread, the kernel's work in its system calls included.
double cpu_us()
{
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

bool is_watching = false; ///< the clock takes its time, too
double in_the_kernel = 0; ///< microseconds, of the calls below

template <class... Values>
ssize_t watched_call(long number, Values... values)
{
    if (!is_watching)
        return syscall(number, values...);
    const double before = cpu_us();
    const ssize_t result = syscall(number, values...);
    in_the_kernel += cpu_us() - before;
    return result;
}

} // namespace

// Those of the C library for the plugin too, which finds the program's first.

extern "C" ssize_t sendto(int fd, const void* data, std::size_t size, int flags, const sockaddr* to,
                          socklen_t length)
{
    return watched_call(SYS_sendto, fd, data, size, flags, to, length);
}

extern "C" ssize_t recv(int fd, void* data, std::size_t size, int flags)
{
    return watched_call(SYS_recvfrom, fd, data, size, flags, nullptr, nullptr);
}

namespace
{

/// A call between the lab's two sides; the back end gets sockets that are no matter here.
mp_flow flow_of(mp_flow_id id, int socket)
{
    const auto port = static_cast<std::uint16_t>(2000 + id % 50000);
    mp_flow flow{};
    flow.struct_size = sizeof flow;
    flow.id = id;
    flow.caller_remote = endpoint("10.71.1.2", port);
    flow.caller_local = endpoint("10.71.1.1", port);
    flow.callee_local = endpoint("10.71.2.1", port);
    flow.callee_remote = endpoint("10.71.2.2", port);
    flow.caller_fd = flow.callee_fd = socket;
    flow.orphan_timeout_ms = 120000;
    flow.dscp = 255;
    return flow;
}

std::vector<mp_flow> flows_from(mp_flow_id first, std::size_t count, int socket)
{
    std::vector<mp_flow> flows;
    for (std::size_t i = 0; i < count; ++i)
        flows.push_back(flow_of(first + i, socket));
    return flows;
}

void expect_all(const std::vector<mp_status>& each, const std::string& message)
{
    if (std::all_of(each.begin(), each.end(), [](mp_status status) { return status == MP_OK; }))
        return;
    std::fprintf(stderr, "install_cost: %s\n", message.c_str());
    std::exit(1);
}

struct Cost {
    double us, kernel_us; ///< a call, medians of the rounds
};

struct Costs {
    Cost install, remove;
};

double median(std::vector<double> values)
{
    std::nth_element(values.begin(),
                     values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
}

/// The rounds of one operation, every second one watched.
class Meter
{
public:
    explicit Meter(std::size_t calls) : calls_(static_cast<double>(calls)) {}

    void begin(int round)
    {
        is_watching = round % 2 == 1;
        in_the_kernel = 0;
        before_ = cpu_us();
    }
    void end()
    {
        if (is_watching)
            kernel_us_.push_back(in_the_kernel / calls_);
        else
            us_.push_back((cpu_us() - before_) / calls_);
    }
    Cost cost() const { return {median(us_), median(kernel_us_)}; }

private:
    double calls_, before_ = 0;
    std::vector<double> us_, kernel_us_;
};

/// `count` calls in operations of `step` each.
Costs measure(PluginHost& host, mp_flow_id& next, std::size_t count, std::size_t step, int socket)
{
    Meter install(count), remove(count);
    for (int round = 0; round < rounds; ++round) {
        const auto flows = flows_from(next, count, socket);
        next += count;
        std::string message;
        install.begin(round);
        for (std::size_t at = 0; at < count; at += step) {
            const auto first = flows.begin() + static_cast<std::ptrdiff_t>(at);
            expect_all(host.install({first, first + static_cast<std::ptrdiff_t>(step)}, &message),
                       message);
        }
        install.end();
        std::vector<mp_flow_reading> finals;
        remove.begin(round);
        for (std::size_t at = 0; at < count; at += step) {
            std::vector<mp_flow_id> ids;
            for (std::size_t i = at; i < at + step; ++i)
                ids.push_back(flows[i].id);
            if (host.remove(ids, finals) != MP_OK)
                std::exit(1);
        }
        remove.end();
    }
    return {install.cost(), remove.cost()};
}

} // namespace

int main(int count, char** arguments)
{
    if (count < 2) {
        std::fprintf(stderr, "usage: install_cost PLUGIN.so [calls installed meanwhile] "
                             "[KEY=VALUE]...\n");
        return 2;
    }
    const std::size_t present = count > 2 ? std::strtoul(arguments[2], nullptr, 10) : 0;
    SettingList settings;
    for (int i = 3; i < count; ++i) {
        const std::string text = arguments[i];
        settings.emplace_back(text.substr(0, text.find('=')), text.substr(text.find('=') + 1));
    }
    const KernelLab lab;
    const LabCall call(lab);
    call.greet(); // devices know their neighbours
    PluginHost host(arguments[1], settings, HostIdentity{"bench", lab.state_dir()});
    host.adopt({});
    mp_flow_id next = 0;
    const int socket = call.relay_caller.fd();
    std::string message;
    for (; next < present; next += burst)
        expect_all(host.install(flows_from(next, burst, socket), &message), message);
    measure(host, next, burst, burst, socket); // warm
    const Costs single = measure(host, next, burst, 1, socket);
    const Costs bursts = measure(host, next, 10 * burst, burst, socket);
    const double before = cpu_us();
    const std::size_t read = host.read().size();
    const double reading = cpu_us() - before;
    std::printf("{\"plugin\": \"%s\", \"calls_present\": %zu, \"read_all_us\": %.0f",
                host.plugin().name, read, reading);
    std::printf(", \"install_single_us\": %.2f, \"remove_single_us\": %.2f", single.install.us,
                single.remove.us);
    std::printf(", \"install_burst_us\": %.2f, \"install_burst_kernel_us\": %.2f",
                bursts.install.us, bursts.install.kernel_us);
    std::printf(", \"remove_burst_us\": %.2f, \"remove_burst_kernel_us\": %.2f", bursts.remove.us,
                bursts.remove.kernel_us);
    std::printf("}\n");
    return 0;
}
