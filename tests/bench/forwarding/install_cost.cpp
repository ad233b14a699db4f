// SPDX-License-Identifier: GPL-2.0-or-later
// What installing and removing flows costs a kernel back end: CPU microseconds a call (a flow, both
// directions), one at a time and in bursts of 20 and of 64; as JSON. Twice: the kernel frees what
// was removed in a thread of its own, which interrupts the measured one after each transaction; a
// realtime one (as the setting `realtime` makes the core thread) it leaves alone.
// Usage: install_cost PLUGIN.so [calls installed meanwhile] [KEY=VALUE]...
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include <sched.h>
#include <time.h>

#include "../../forwarding/kernel_lab.hpp"
#include "../../forwarding/plugin_host.hpp"

using namespace forwarding_test;

namespace
{

constexpr int rounds = 80;
constexpr std::size_t present_burst = 20;
mp_flow_id present = 0; ///< ids before this one stay installed
constexpr std::size_t steps[] = {1, 20, 64}; ///< calls an operation

/// Of this thread, the kernel's work in its system calls included.
double cpu_us()
{
    timespec now{};
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

/// A call between the lab's two sides; the back end gets sockets that are no matter here.
mp_flow flow_of(mp_flow_id id, int socket)
{
    const mp_flow_id place = id < present ? id : present + (id - present) % (50000 - present);
    const auto port = static_cast<std::uint16_t>(2000 + place);
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

struct Costs {
    double install_us, remove_us; ///< a call, medians of the rounds
};

double median(std::vector<double> values)
{
    std::nth_element(values.begin(),
                     values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
    return values[values.size() / 2];
}

/// The rounds of one operation.
class Meter
{
public:
    explicit Meter(std::size_t calls) : calls_(static_cast<double>(calls)) {}

    void begin() { before_ = cpu_us(); }
    void end() { us_.push_back((cpu_us() - before_) / calls_); }
    double us() const { return median(us_); }

private:
    double calls_, before_ = 0;
    std::vector<double> us_;
};

/// Ten operations of `step` calls each.
Costs measure(PluginHost& host, mp_flow_id& next, std::size_t step, int socket)
{
    const std::size_t count = 10 * step;
    Meter install(count), remove(count);
    for (int round = 0; round < rounds; ++round) {
        const auto flows = flows_from(next, count, socket);
        next += count;
        std::string message;
        install.begin();
        for (std::size_t at = 0; at < count; at += step) {
            const auto first = flows.begin() + static_cast<std::ptrdiff_t>(at);
            expect_all(host.install({first, first + static_cast<std::ptrdiff_t>(step)}, &message),
                       message);
        }
        install.end();
        std::vector<mp_flow_reading> finals;
        remove.begin();
        for (std::size_t at = 0; at < count; at += step) {
            std::vector<mp_flow_id> ids;
            for (std::size_t i = at; i < at + step; ++i)
                ids.push_back(flows[i].id);
            if (host.remove(ids, finals) != MP_OK)
                std::exit(1);
        }
        remove.end();
    }
    return {install.us(), remove.us()};
}

} // namespace

int main(int count, char** arguments)
{
    if (count < 2) {
        std::fprintf(stderr, "usage: install_cost PLUGIN.so [calls installed meanwhile] "
                             "[KEY=VALUE]...\n");
        return 2;
    }
    const std::size_t most = 40'000; // ports of the others are used again and again
    present = count > 2 ? std::min(std::strtoul(arguments[2], nullptr, 10), most) : 0;
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
    for (; next < present; next += present_burst)
        expect_all(host.install(flows_from(next, present_burst, socket), &message), message);
    measure(host, next, present_burst, socket); // warm
    const auto print_costs = [&, first = next](const char* prefix) {
        next = first; // those of the first pass have gone
        for (const std::size_t step : steps) {
            const Costs costs = measure(host, next, step, socket);
            std::printf(", \"%sinstall_%zu_us\": %.2f, \"%sremove_%zu_us\": %.2f", prefix, step,
                        costs.install_us, prefix, step, costs.remove_us);
        }
    };
    const double before = cpu_us();
    const std::size_t read = host.read().size();
    const double reading = cpu_us() - before;
    std::printf("{\"plugin\": \"%s\", \"calls_present\": %zu, \"read_all_us\": %.0f",
                host.plugin().name, read, reading);
    print_costs("");
    const sched_param least{sched_get_priority_min(SCHED_RR)};
    if (sched_setscheduler(0, SCHED_RR, &least) == 0)
        print_costs("realtime_");
    else
        std::perror("install_cost: no figures of a realtime thread");
    std::printf("}\n");
    return 0;
}
