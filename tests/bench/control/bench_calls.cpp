// SPDX-License-Identifier: GPL-2.0-or-later
// Calls as fast as they go, each connection by a thread of its own as a SIP worker would: update,
// update, then a packet each way that has to arrive, then remove.
//
//   bench_calls SOCKET CONNECTIONS SECONDS NETNS ADDRESS NETNS ADDRESS [silent]
//
// The phones' namespaces and IPv4 addresses, the caller's first; `silent` ones send no packet.
// JSON.

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.hpp"

namespace bench_control
{
namespace
{

constexpr timeval patience{2, 0};

/// A UDP socket in a namespace.
class Phone
{
public:
    Phone(const char* netns, std::string address) : address_(std::move(address))
    {
        const int place = ::open(netns, O_RDONLY | O_CLOEXEC);
        if (place < 0 || ::setns(place, CLONE_NEWNET) != 0)
            die(netns);
        ::close(place);
        fd_ = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        sockaddr_in local = endpoint(address_, 0);
        socklen_t size = sizeof local;
        if (::bind(fd_, reinterpret_cast<const sockaddr*>(&local), size) != 0 ||
            ::getsockname(fd_, reinterpret_cast<sockaddr*>(&local), &size) != 0)
            die("a phone");
        ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        port_ = ntohs(local.sin_port);
    }
    Phone(const Phone&) = delete;
    Phone& operator=(const Phone&) = delete;
    ~Phone() { ::close(fd_); }

    const std::string& address() const { return address_; }
    int port() const { return port_; }

    /// `where` is the daemon's answer: an address and a port.
    void speak(const std::string& where) const
    {
        const std::size_t space = where.find(' ');
        const sockaddr_in to =
            endpoint(where.substr(0, space), std::atoi(where.c_str() + space + 1));
        unsigned char packet[172] = {0x80};
        ::sendto(fd_, packet, sizeof packet, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    }
    bool hears() const
    {
        unsigned char packet[172];
        return ::recv(fd_, packet, sizeof packet, 0) == sizeof packet;
    }

private:
    static sockaddr_in endpoint(const std::string& address, int port)
    {
        sockaddr_in result{};
        result.sin_family = AF_INET;
        result.sin_port = htons(static_cast<std::uint16_t>(port));
        ::inet_pton(AF_INET, address.c_str(), &result.sin_addr);
        return result;
    }

    std::string address_;
    int fd_, port_;
};

struct Plan {
    const char* socket;
    const char* caller_netns;
    const char* caller_address;
    const char* callee_netns;
    const char* callee_address;
    bool silent;
};

struct Tally {
    std::atomic<std::uint64_t> cycles{0}, errors{0}, unheard{0};
};

class Line
{
public:
    explicit Line(const Plan& plan, int number)
        : silent_(plan.silent), fd_(connect_to(plan.socket)), number_(number),
          caller_(plan.caller_netns, plan.caller_address),
          callee_(plan.callee_netns, plan.callee_address)
    {
    }
    ~Line() { ::close(fd_); }
    Line(const Line&) = delete;
    Line& operator=(const Line&) = delete;

    void cycle(Tally& tally)
    {
        const std::string call = "calls-" + std::to_string(::getpid()) + "-" +
                                 std::to_string(number_) + "-" + std::to_string(++calls_);
        const std::string for_callee =
            ask(update_text("request", call, "", caller_.address(), caller_.port()));
        const std::string for_caller = ask(update_text("reply", call, "B1-13488-of-the-callee",
                                                       callee_.address(), callee_.port()));
        if (!silent_) {
            caller_.speak(for_caller);
            callee_.speak(for_callee);
            if (!callee_.hears() || !caller_.hears())
                ++tally.unheard;
        }
        if (ask(remove_text(call)) != "removed" || for_callee == "error" || for_caller == "error")
            ++tally.errors;
        ++tally.cycles;
    }

private:
    std::string ask(const std::string& text) const
    {
        char answer[512];
        if (::send(fd_, text.data(), text.size(), MSG_NOSIGNAL) < 0)
            die("send");
        const ssize_t size = ::recv(fd_, answer, sizeof answer, 0);
        if (size < 2)
            die("the daemon closed the connection");
        return {answer, static_cast<std::size_t>(size) - 2};
    }

    bool silent_;
    int fd_, number_;
    std::uint64_t calls_ = 0;
    Phone caller_, callee_;
};

int run(const Plan& plan, int connections, double seconds)
{
    Tally tally;
    const Clock::time_point begin = Clock::now();
    const auto end = begin + std::chrono::duration<double>(seconds);
    std::vector<std::thread> threads;
    for (int i = 0; i < connections; ++i)
        threads.emplace_back([&, i] {
            Line line(plan, i);
            while (Clock::now() < end)
                line.cycle(tally);
        });
    for (std::thread& thread : threads)
        thread.join();
    const double took = std::chrono::duration<double>(Clock::now() - begin).count();
    std::printf("{\"cycles_per_s\": %.0f, \"errors\": %llu, \"unheard\": %llu}\n",
                static_cast<double>(tally.cycles) / took,
                static_cast<unsigned long long>(tally.errors),
                static_cast<unsigned long long>(tally.unheard));
    return tally.errors + tally.unheard == 0 ? 0 : 1;
}

} // namespace
} // namespace bench_control

int main(int argc, char** argv)
{
    if (argc != 8 && !(argc == 9 && std::strcmp(argv[8], "silent") == 0)) {
        std::fprintf(stderr, "usage: bench_calls SOCKET CONNECTIONS SECONDS NETNS ADDRESS NETNS "
                             "ADDRESS [silent]\n");
        return 2;
    }
    const bench_control::Plan plan{argv[1], argv[4], argv[5], argv[6], argv[7], argc == 9};
    return bench_control::run(plan, std::atoi(argv[2]), std::atof(argv[3]));
}
