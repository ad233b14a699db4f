// SPDX-License-Identifier: GPL-2.0-or-later
// The SIP proxy's side of the control socket, as fast as it goes.
//
//   bench_control cycles SOCKET CONNECTIONS SECONDS   update, update, remove over and over; JSON
//   bench_control count SOCKET CONNECTIONS CYCLES     the same, a fixed number of cycles (soak)
//   bench_control offered SOCKET CONNECTIONS SECONDS RATE   so many cycles a second, whatever comes
//   bench_control hold SOCKET SESSIONS [FIRST]        sets up sessions and leaves them
//   bench_control null SOCKET                         a server that only answers, until killed
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include "client.hpp"

namespace bench_control
{
namespace
{

/// One call after the other on one connection: the next request and the judgement of its answer.
class Caller
{
public:
    Caller(int fd, std::uint64_t number) : fd_(fd), number_(number) {}

    int fd() const { return fd_; }
    void send_next()
    {
        if (step_ == 0)
            call_ = "bench-" + std::to_string(::getpid()) + "-" + std::to_string(number_) + "-" +
                    std::to_string(++calls_) + "@127.0.0.1";
        text_ = step_ == 0 ? update_text("request", call_, "", "127.1.0.1", 20000)
                : step_ == 1
                    ? update_text("reply", call_, "B1-13488-of-the-callee", "127.2.0.1", 30000)
                    : remove_text(call_);
        sent_ = Clock::now();
        if (::send(fd_, text_.data(), text_.size(), MSG_NOSIGNAL) !=
            static_cast<ssize_t>(text_.size()))
            die("send");
    }
    /// For a request that could not be sent when it was its time.
    void waited_since(Clock::time_point due) { sent_ = due; }
    /// True when this answer ended a cycle.
    bool receive(std::vector<float>& latencies, std::uint64_t& errors)
    {
        char answer[512];
        const ssize_t size = ::recv(fd_, answer, sizeof answer, 0);
        if (size <= 0)
            die("the server closed the connection");
        latencies.push_back(std::chrono::duration<float, std::micro>(Clock::now() - sent_).count());
        const std::string_view line(answer, static_cast<std::size_t>(size));
        if (line.starts_with("error") || !line.ends_with("\r\n"))
            ++errors;
        step_ = (step_ + 1) % 3;
        return step_ == 0;
    }

private:
    int fd_;
    std::uint64_t number_;
    std::uint64_t calls_ = 0;
    int step_ = 0;
    std::string call_, text_;
    Clock::time_point sent_;
};

struct Tally {
    std::uint64_t cycles = 0, errors = 0;
    std::vector<float> latencies; // us, of every request
};

/// One connection is driven as a SIP worker does: a blocking read.
template <class More>
void drive_one(Caller& caller, Tally& tally, More more)
{
    while (more(tally)) {
        for (int step = 0; step < 3; ++step) {
            caller.send_next();
            tally.cycles += caller.receive(tally.latencies, tally.errors) ? 1 : 0;
        }
    }
}

template <class More>
void drive_many(std::vector<Caller>& callers, Tally& tally, More more)
{
    const int poller = ::epoll_create1(EPOLL_CLOEXEC);
    for (std::size_t i = 0; i < callers.size(); ++i) {
        epoll_event event{};
        event.events = EPOLLIN;
        event.data.u64 = i;
        if (::epoll_ctl(poller, EPOLL_CTL_ADD, callers[i].fd(), &event) != 0)
            die("epoll");
        callers[i].send_next();
    }
    std::size_t busy = callers.size();
    epoll_event events[64];
    while (busy > 0) {
        const int ready = ::epoll_wait(poller, events, 64, 5000);
        if (ready <= 0)
            die("no answer within 5 s");
        for (int i = 0; i < ready; ++i) {
            Caller& caller = callers[events[i].data.u64];
            const bool ended = caller.receive(tally.latencies, tally.errors);
            tally.cycles += ended ? 1 : 0;
            if (!ended || more(tally))
                caller.send_next();
            else
                --busy;
        }
    }
    ::close(poller);
}

template <class More>
int drive(const char* path, int connections, More more)
{
    std::vector<Caller> callers;
    for (int i = 0; i < connections; ++i)
        callers.emplace_back(connect_to(path), static_cast<std::uint64_t>(i));
    Tally tally;
    tally.latencies.reserve(1 << 22);
    const Clock::time_point begin = Clock::now();
    if (connections == 1)
        drive_one(callers[0], tally, more);
    else
        drive_many(callers, tally, more);
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    std::printf(
        "{\"connections\": %d, \"cycles\": %llu, \"seconds\": %.3f, \"cycles_per_s\": %.0f, "
        "\"p50_us\": %.1f, \"p99_us\": %.1f, \"errors\": %llu}\n",
        connections, static_cast<unsigned long long>(tally.cycles), seconds,
        static_cast<double>(tally.cycles) / seconds, percentile(tally.latencies, 0.5),
        percentile(tally.latencies, 0.99), static_cast<unsigned long long>(tally.errors));
    return tally.errors == 0 ? 0 : 1;
}

/// Cycles begin at their time when a connection is free; those that have to wait for one are
/// measured from their time.
class Offer
{
public:
    Offer(std::vector<Caller>& callers, double rate, double seconds)
        : callers_(callers), poller_(::epoll_create1(EPOLL_CLOEXEC)), rate_(rate),
          wanted_(static_cast<std::uint64_t>(rate * seconds))
    {
        for (std::size_t i = 0; i < callers.size(); ++i) {
            epoll_event event{};
            event.events = EPOLLIN;
            event.data.u64 = i;
            if (::epoll_ctl(poller_, EPOLL_CTL_ADD, callers[i].fd(), &event) != 0)
                die("epoll");
            free_.push_back(i);
        }
    }
    ~Offer() { ::close(poller_); }
    Offer(const Offer&) = delete;
    Offer& operator=(const Offer&) = delete;

    void drive(Tally& tally)
    {
        begin_ = Clock::now();
        while (tally.cycles < wanted_) {
            begin_due();
            epoll_event events[64];
            const int ready = wait(events);
            for (int i = 0; i < ready; ++i)
                on_answer(events[i].data.u64, tally);
        }
    }
    std::uint64_t delayed() const { return delayed_; }

private:
    Clock::time_point due(std::uint64_t cycle) const
    {
        const std::chrono::duration<double> at(static_cast<double>(cycle) / rate_);
        return begin_ + std::chrono::duration_cast<Clock::duration>(at);
    }
    void begin_due()
    {
        for (; begun_ < wanted_ && !free_.empty() && due(begun_) <= Clock::now(); ++begun_) {
            callers_[free_.back()].send_next();
            free_.pop_back();
        }
    }
    int wait(epoll_event (&events)[64])
    {
        timespec limit{5, 0};
        if (begun_ < wanted_ && !free_.empty()) {
            const auto left = std::chrono::nanoseconds(due(begun_) - Clock::now()).count();
            limit = {0, std::max<long>(0, left)};
        }
        const int ready = ::epoll_pwait2(poller_, events, 64, &limit, nullptr);
        if (ready < 0 || (ready == 0 && limit.tv_sec > 0))
            die("no answer within 5 s");
        return ready;
    }
    void on_answer(std::uint64_t place, Tally& tally)
    {
        Caller& caller = callers_[place];
        if (!caller.receive(tally.latencies, tally.errors))
            return caller.send_next();
        ++tally.cycles;
        if (begun_ == wanted_ || !free_.empty() || due(begun_) > Clock::now())
            return free_.push_back(place);
        caller.send_next();
        caller.waited_since(due(begun_++));
        ++delayed_;
    }

    std::vector<Caller>& callers_;
    int poller_;
    double rate_;
    std::uint64_t wanted_, begun_ = 0, delayed_ = 0;
    Clock::time_point begin_{};
    std::vector<std::size_t> free_;
};

int offered(const char* path, int connections, double seconds, double rate)
{
    std::vector<Caller> callers;
    for (int i = 0; i < connections; ++i)
        callers.emplace_back(connect_to(path), static_cast<std::uint64_t>(i));
    Tally tally;
    tally.latencies.reserve(1 << 20);
    const Clock::time_point begin = Clock::now();
    Offer offer(callers, rate, seconds);
    offer.drive(tally);
    const double took = std::chrono::duration<double>(Clock::now() - begin).count();
    std::printf("{\"connections\": %d, \"offered_per_s\": %.0f, \"cycles\": %llu, "
                "\"cycles_per_s\": %.0f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"delayed\": %llu, "
                "\"errors\": %llu}\n",
                connections, rate, static_cast<unsigned long long>(tally.cycles),
                static_cast<double>(tally.cycles) / took, percentile(tally.latencies, 0.5),
                percentile(tally.latencies, 0.99), static_cast<unsigned long long>(offer.delayed()),
                static_cast<unsigned long long>(tally.errors));
    return tally.errors == 0 ? 0 : 1;
}

int cycles(const char* path, int connections, double seconds)
{
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    return drive(path, connections, [end](const Tally&) { return Clock::now() < end; });
}

int count(const char* path, int connections, std::uint64_t wanted)
{
    const std::uint64_t running = static_cast<std::uint64_t>(connections) - 1;
    return drive(path, connections,
                 [=](const Tally& tally) { return tally.cycles + running < wanted; });
}

int hold(const char* path, int sessions, int first)
{
    const int fd = connect_to(path);
    int errors = 0;
    const auto ask = [&](const std::string& text) {
        char answer[512];
        if (::send(fd, text.data(), text.size(), MSG_NOSIGNAL) < 0)
            die("send");
        const ssize_t size = ::recv(fd, answer, sizeof answer, 0);
        if (size <= 0)
            die("the server closed the connection");
        errors += std::string_view(answer, static_cast<std::size_t>(size)).starts_with("error");
    };
    for (int i = first; i < first + sessions; ++i) {
        const std::string call = "hold-" + std::to_string(i) + "@127.0.0.1";
        ask(update_text("request", call, "", "127.1.0.1", 20000));
        ask(update_text("reply", call, "B1-13488-of-the-callee", "127.2.0.1", 30000));
    }
    std::printf("{\"sessions\": %d, \"errors\": %d}\n", sessions, errors);
    return errors == 0 ? 0 : 1;
}

/// Answers what is whole in `buffer`; the least that any server must do.
bool answer_null(int fd, std::string& buffer)
{
    char bytes[16384];
    const ssize_t size = ::recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (size <= 0)
        return size < 0 && errno == EAGAIN;
    buffer.append(bytes, static_cast<std::size_t>(size));
    std::size_t end;
    while ((end = buffer.find("\r\n\r\n")) != std::string::npos) {
        const std::string_view answer =
            buffer.starts_with("remove") ? "removed\r\n" : "127.0.0.1 40000\r\n";
        buffer.erase(0, end + 4);
        if (::send(fd, answer.data(), answer.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
            return false;
    }
    return true;
}

int serve_null(const char* path)
{
    ::unlink(path);
    const int listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    const sockaddr_un address = address_of(path);
    if (::bind(listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
        ::listen(listener, 128) != 0)
        die(path);
    const int poller = ::epoll_create1(EPOLL_CLOEXEC);
    struct Connection {
        int fd;
        std::string buffer;
    };
    std::vector<std::unique_ptr<Connection>> connections;
    epoll_event event{};
    event.events = EPOLLIN;
    ::epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    epoll_event events[64];
    for (;;) {
        const int ready = ::epoll_wait(poller, events, 64, -1);
        for (int i = 0; i < ready; ++i) {
            auto* const connection = static_cast<Connection*>(events[i].data.ptr);
            if (connection) {
                if (!answer_null(connection->fd, connection->buffer))
                    ::epoll_ctl(poller, EPOLL_CTL_DEL, connection->fd, nullptr);
                continue;
            }
            const int fd = ::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
            if (fd < 0)
                continue;
            connections.push_back(std::make_unique<Connection>(Connection{fd, {}}));
            event.data.ptr = connections.back().get();
            ::epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
        }
    }
}

} // namespace
} // namespace bench_control

int main(int argc, char** argv)
{
    using namespace bench_control;
    const std::string_view mode = argc > 2 ? argv[1] : "";
    const auto number = [&](int i) { return argc > i ? std::atoi(argv[i]) : 0; };
    if (mode == "cycles" && argc == 5)
        return cycles(argv[2], number(3), std::atof(argv[4]));
    if (mode == "offered" && argc == 6)
        return offered(argv[2], number(3), std::atof(argv[4]), std::atof(argv[5]));
    if (mode == "count" && argc == 5)
        return count(argv[2], number(3), static_cast<std::uint64_t>(number(4)));
    if (mode == "hold" && argc >= 4)
        return hold(argv[2], number(3), number(4));
    if (mode == "null" && argc == 3)
        return serve_null(argv[2]);
    std::fprintf(stderr, "usage: bench_control cycles|count|offered|hold|null SOCKET ...\n");
    return 2;
}
