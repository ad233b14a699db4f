// SPDX-License-Identifier: GPL-2.0-or-later
/// Measures the user-space forwarding back end as a daemon would use it, beside a naive loop.
/// Relay and phones are processes of their own on CPUs of their own.
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "phones.hpp"
#include "plan.hpp"
#include "relay.hpp"
#include "sockets.hpp"

using namespace forwarding_bench;

namespace
{

struct Options {
    std::string plugin = PLUGIN_PATH;
    std::string json;
    double seconds = 1.5;
    std::vector<unsigned> streams{1, 100, 1000, 4000};
    unsigned rate = 80000;     ///< of the paced cases
    unsigned fat_rate = 50000; ///< of the fat stream
};

struct Row {
    Case plan;
    Outcome outcome;
};

const char* name(Relay relay)
{
    switch (relay) {
    case Relay::naive:
        return "naive";
    case Relay::epoll:
        return "epoll";
    case Relay::io_uring:
        return "io_uring";
    }
    return "";
}

const char* name(Load load)
{
    switch (load) {
    case Load::window:
        return "full speed";
    case Load::paced:
        return "paced";
    case Load::fat:
        return "fat stream";
    }
    return "";
}

[[noreturn]] void usage()
{
    std::fputs("usage: bench_forwarding [--streams 1,100,1000,4000] [--seconds N] [--rate PPS]\n"
               "                        [--fat-rate PPS] [--json FILE] [--plugin FILE]\n",
               stderr);
    std::exit(2);
}

std::vector<unsigned> parse_list(const std::string& text)
{
    std::vector<unsigned> result;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t comma = std::min(text.find(',', at), text.size());
        const int value = std::atoi(text.substr(at, comma - at).c_str());
        if (value < 1 || value > static_cast<int>(most_streams))
            usage();
        result.push_back(static_cast<unsigned>(value));
        at = comma + 1;
    }
    return result;
}

Options parse(int count, char** arguments)
{
    Options options;
    for (int i = 1; i < count; i += 2) {
        const std::string key = arguments[i];
        if (i + 1 >= count)
            usage();
        const std::string value = arguments[i + 1];
        if (key == "--streams")
            options.streams = parse_list(value);
        else if (key == "--seconds")
            options.seconds = std::atof(value.c_str());
        else if (key == "--rate")
            options.rate = static_cast<unsigned>(std::atoi(value.c_str()));
        else if (key == "--fat-rate")
            options.fat_rate = static_cast<unsigned>(std::atoi(value.c_str()));
        else if (key == "--json")
            options.json = value;
        else if (key == "--plugin")
            options.plugin = value;
        else
            usage();
    }
    return options;
}

/// Nanoseconds on a CPU of all threads of a process.
std::uint64_t cpu_time_ns(pid_t pid)
{
    std::uint64_t total = 0;
    const auto tasks = "/proc/" + std::to_string(pid) + "/task";
    for (const auto& task : std::filesystem::directory_iterator(tasks)) {
        std::uint64_t on_cpu = 0;
        std::ifstream(task.path() / "schedstat") >> on_cpu;
        total += on_cpu;
    }
    return total;
}

template <typename Body>
pid_t in_process(unsigned cpu, Body&& body)
{
    const pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid > 0)
        return pid;
    pin_to_cpu(cpu);
    body();
    std::_Exit(0);
}

void pause_for(double seconds)
{
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

void await_ready(const Board& board, pid_t relay)
{
    while (board.relay_ready.load() == 0) {
        if (waitpid(relay, nullptr, WNOHANG) == relay)
            die("the relay ended early");
        pause_for(0.005);
    }
}

Outcome measure(const Case& plan, const std::string& plugin)
{
    void* memory =
        mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        die("mmap");
    auto& board = *new (memory) Board;
    Phones phones(board);
    const pid_t relay = in_process(1, [&] { run_relay(board, plan, plugin); });
    await_ready(board, relay);
    const pid_t phone = in_process(0, [&] { phones.run(plan); });

    pause_for(0.4); // past the start, and long enough to be seen as a fat stream
    const auto begin = std::chrono::steady_clock::now();
    const std::uint64_t received_before = board.received.load();
    const std::uint64_t cpu_before = cpu_time_ns(relay);
    pause_for(plan.seconds);
    const std::uint64_t received = board.received.load() - received_before;
    const std::uint64_t cpu = cpu_time_ns(relay) - cpu_before;
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - begin;

    board.stop.store(1);
    waitpid(phone, nullptr, 0);
    board.stop.store(2);
    waitpid(relay, nullptr, 0);
    Outcome outcome;
    outcome.packets_per_second = static_cast<double>(received) / elapsed.count();
    outcome.cpu_us_per_packet =
        received > 0 ? static_cast<double>(cpu) / 1000 / static_cast<double>(received) : 0;
    outcome.sent = board.sent.load();
    outcome.received = board.received.load();
    outcome.wrong = board.wrong.load();
    outcome.relay_counted = board.relay_counted.load();
    outcome.remove_p50_us = board.remove_p50_us.load();
    outcome.remove_p99_us = board.remove_p99_us.load();
    munmap(memory, sizeof(Board));
    return outcome;
}

void print(const Row& row)
{
    const Outcome& o = row.outcome;
    std::printf("%-10s  %7u  %-8s  %9.0f  %8.2f  %9llu  %6lld  %5llu  %4.0f %5.0f\n",
                name(row.plan.load), row.plan.streams, name(row.plan.relay), o.packets_per_second,
                o.cpu_us_per_packet, static_cast<unsigned long long>(o.received),
                static_cast<long long>(o.sent) - static_cast<long long>(o.received),
                static_cast<unsigned long long>(o.wrong), o.remove_p50_us, o.remove_p99_us);
    std::fflush(stdout);
}

std::vector<Case> plan_cases(const Options& options)
{
    constexpr Relay relays[] = {Relay::naive, Relay::epoll, Relay::io_uring};
    std::vector<Case> cases;
    for (const unsigned streams : options.streams) {
        for (const Relay relay : relays)
            cases.push_back({relay, Load::window, streams, 0, options.seconds});
        for (const Relay relay : relays)
            cases.push_back({relay, Load::paced, streams, options.rate, options.seconds});
    }
    for (const Relay relay : relays)
        cases.push_back({relay, Load::fat, 1, options.fat_rate, options.seconds});
    return cases;
}

void write_json(const std::string& path, const std::vector<Row>& rows, double epoll_cycles,
                double uring_cycles)
{
    std::ofstream out(path);
    out << "{\"payload_bytes\": " << payload_size << ", \"cases\": [";
    const char* separator = "\n";
    for (const Row& row : rows) {
        const Outcome& o = row.outcome;
        out << separator << "  {\"load\": \"" << name(row.plan.load)
            << "\", \"streams\": " << row.plan.streams << ", \"relay\": \"" << name(row.plan.relay)
            << "\", \"packets_per_second\": " << o.packets_per_second
            << ", \"cpu_us_per_packet\": " << o.cpu_us_per_packet << ", \"sent\": " << o.sent
            << ", \"received\": " << o.received << ", \"wrong\": " << o.wrong
            << ", \"relay_counted\": " << o.relay_counted
            << ", \"remove_p50_us\": " << o.remove_p50_us
            << ", \"remove_p99_us\": " << o.remove_p99_us << "}";
        separator = ",\n";
    }
    out << "\n], \"install_remove_cycles_per_second\": {\"epoll\": " << epoll_cycles
        << ", \"io_uring\": " << uring_cycles << "}}\n";
    if (!out)
        die(path.c_str());
}

} // namespace

int main(int count, char** arguments)
{
    const Options options = parse(count, arguments);
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);

    std::printf("one way, %u bytes of payload, relay and phones on a CPU each\n\n", payload_size);
    std::printf("%-10s  %7s  %-8s  %9s  %8s  %9s  %6s  %5s  %s\n", "load", "streams", "relay",
                "packets/s", "CPU us", "received", "lost", "wrong", "remove() us p50, p99");
    std::vector<Row> rows;
    for (const Case& plan : plan_cases(options)) {
        rows.push_back({plan, measure(plan, options.plugin)});
        print(rows.back());
    }
    const double epoll_cycles = flow_cycles(options.plugin, Relay::epoll, 0.5);
    const double uring_cycles = flow_cycles(options.plugin, Relay::io_uring, 0.5);
    std::printf("\ninstall + remove of one flow, a second: epoll %.0f, io_uring %.0f\n",
                epoll_cycles, uring_cycles);
    if (!options.json.empty())
        write_json(options.json, rows, epoll_cycles, uring_cycles);
    return 0;
}
