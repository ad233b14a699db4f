// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <vector>

#include <sys/epoll.h>

#include "../../forwarding/plugin_host.hpp"
#include "sockets.hpp"

namespace forwarding_bench
{
namespace
{

using forwarding_test::PluginHost;
using forwarding_test::SettingList;
using Clock = std::chrono::steady_clock;

constexpr int receive_buffer = 1 << 20;

struct Stream {
    int caller_fd;
    int callee_fd;
    std::uint16_t caller_local;
    std::uint16_t callee_local;
    std::uint16_t caller_remote;
    std::uint16_t callee_remote;
};

std::vector<Stream> open_streams(Board& board, unsigned count)
{
    std::vector<Stream> streams(count);
    for (unsigned i = 0; i < count; ++i) {
        Stream& s = streams[i];
        s.caller_fd = open_socket(s.caller_local, receive_buffer);
        s.callee_fd = open_socket(s.callee_local, receive_buffer);
        s.caller_remote = board.caller_ports[i % phone_sockets];
        s.callee_remote = board.callee_ports[i % phone_sockets];
        board.relay_ports[i] = s.caller_local;
    }
    return streams;
}

mp_endpoint endpoint(std::uint16_t port)
{
    mp_endpoint result{};
    result.family = 4;
    result.port = port;
    result.address[0] = 127;
    result.address[3] = 1;
    return result;
}

mp_flow to_flow(const Stream& stream, mp_flow_id id)
{
    mp_flow flow{};
    flow.struct_size = sizeof flow;
    flow.id = id;
    flow.caller_remote = endpoint(stream.caller_remote);
    flow.caller_local = endpoint(stream.caller_local);
    flow.callee_local = endpoint(stream.callee_local);
    flow.callee_remote = endpoint(stream.callee_remote);
    flow.caller_fd = stream.caller_fd;
    flow.callee_fd = stream.callee_fd;
    flow.dscp = 255;
    return flow;
}

SettingList settings(Relay engine)
{
    return {{"threads", "1"}, {"engine", engine == Relay::epoll ? "epoll" : "io_uring"}};
}

double elapsed_us(Clock::time_point since)
{
    return std::chrono::duration<double, std::micro>(Clock::now() - since).count();
}

/// Until the end of the load: a hundred times a second a flow comes and goes, as with new calls.
void time_removals(Board& board, PluginHost& host)
{
    std::uint16_t ports[2];
    Stream extra{open_socket(ports[0], 0), open_socket(ports[1], 0), ports[0], ports[1], 9, 9};
    constexpr mp_flow_id id = 1'000'000;
    std::vector<double> times;
    while (board.stop.load() < 2) {
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
        if (board.stop.load() > 0)
            continue;
        if (host.install(to_flow(extra, id)) != MP_OK)
            die("install");
        const auto begin = Clock::now();
        host.remove(id);
        times.push_back(elapsed_us(begin));
    }
    if (times.empty())
        return;
    std::sort(times.begin(), times.end());
    board.remove_p50_us.store(times[times.size() / 2]);
    board.remove_p99_us.store(times[times.size() * 99 / 100]);
}

void run_plugin(Board& board, const Case& plan, const std::vector<Stream>& streams,
                const std::string& plugin)
{
    PluginHost host(plugin, settings(plan.relay));
    std::vector<mp_flow_id> ids;
    for (unsigned i = 0; i < streams.size(); ++i) {
        ids.push_back(i + 1);
        if (host.install(to_flow(streams[i], i + 1)) != MP_OK)
            die("install");
    }
    board.relay_ready.store(1);
    time_removals(board, host);
    std::vector<mp_flow_reading> finals;
    host.remove(ids, finals);
    std::uint64_t counted = 0;
    for (const auto& reading : finals)
        counted += reading.from_caller.packets;
    board.relay_counted.store(counted);
}

/// What anyone would write first: wait, receive, compare the source, send.
void run_naive(Board& board, const std::vector<Stream>& streams)
{
    struct Leg {
        int in, out;
        sockaddr_in remote, to;
    };
    std::vector<Leg> legs;
    for (const Stream& s : streams) {
        const auto caller = loopback(s.caller_remote);
        const auto callee = loopback(s.callee_remote);
        legs.push_back({s.caller_fd, s.callee_fd, caller, callee});
        legs.push_back({s.callee_fd, s.caller_fd, callee, caller});
    }
    const int epoll = epoll_create1(0);
    for (Leg& leg : legs) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.ptr = &leg;
        epoll_ctl(epoll, EPOLL_CTL_ADD, leg.in, &event);
    }
    board.relay_ready.store(1);
    std::array<epoll_event, 256> events{};
    std::array<char, 2048> buffer{};
    std::uint64_t counted = 0;
    while (board.stop.load(std::memory_order_relaxed) < 2) {
        const int ready = epoll_wait(epoll, events.data(), static_cast<int>(events.size()), 10);
        for (int i = 0; i < ready; ++i) {
            Leg& leg = *static_cast<Leg*>(events[static_cast<unsigned>(i)].data.ptr);
            sockaddr_in from{};
            socklen_t size = sizeof from;
            const ssize_t got = recvfrom(leg.in, buffer.data(), buffer.size(), 0,
                                         reinterpret_cast<sockaddr*>(&from), &size);
            if (got < 0 || from.sin_port != leg.remote.sin_port ||
                from.sin_addr.s_addr != leg.remote.sin_addr.s_addr)
                continue;
            ++counted;
            sendto(leg.out, buffer.data(), static_cast<std::size_t>(got), 0,
                   reinterpret_cast<sockaddr*>(&leg.to), sizeof leg.to);
        }
    }
    board.relay_counted.store(counted);
    close(epoll);
}

} // namespace

void run_relay(Board& board, const Case& plan, const std::string& plugin)
{
    const auto streams = open_streams(board, plan.streams);
    if (plan.relay == Relay::naive)
        run_naive(board, streams);
    else
        run_plugin(board, plan, streams, plugin);
}

double flow_cycles(const std::string& plugin, Relay engine, double seconds)
{
    Board board;
    board.caller_ports[0] = board.callee_ports[0] = 9; // nobody sends
    const auto streams = open_streams(board, 1);
    PluginHost host(plugin, settings(engine));
    const mp_flow flow = to_flow(streams[0], 1);
    const auto begin = Clock::now();
    const auto elapsed = [&] { return elapsed_us(begin) / 1e6; };
    unsigned cycles = 0;
    for (; elapsed() < seconds; ++cycles) {
        if (host.install(flow) != MP_OK)
            die("install");
        host.remove(1);
    }
    const double rate = cycles / elapsed();
    close(streams[0].caller_fd);
    close(streams[0].callee_fd);
    return rate;
}

} // namespace forwarding_bench
