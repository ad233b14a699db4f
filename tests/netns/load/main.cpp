// SPDX-License-Identifier: GPL-2.0-or-later
// Phones in two namespaces that talk to each other through a relay, and count every packet.
//
//   media_load --caller-netns PATH --callee-netns PATH [--rate PACKETS_PER_SECOND]
//
// Commands, one a line on stdin; each is answered by one JSON line on stdout:
//   streams FILE                 adds phones: ID rtp|rtcp, then ADDRESS PORT of the caller, of the
//   relay
//                                that it talks to, of the callee, of the relay that this talks to
//   start [caller|callee|both]   they talk; also `resume`
//   pause                        they stop, and packets under way are awaited
//   report                       the sum, and every stream

#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>

#include <sys/resource.h>
#include <unistd.h>

#include "generator.hpp"

namespace media_load
{
namespace
{

constexpr std::chrono::milliseconds silence{400};

std::string json(const Tally& tally)
{
    std::ostringstream out;
    out << "{\"sent\":" << tally.sent() << ",\"received\":" << tally.received()
        << ",\"lost\":" << tally.lost() << ",\"duplicated\":" << tally.duplicated()
        << ",\"reordered\":" << tally.reordered() << ",\"corrupted\":" << tally.corrupted()
        << ",\"foreign\":" << tally.foreign() << ",\"wrong_source\":" << tally.wrong_source()
        << ",\"wrong_sources\":[";
    const char* separator = "";
    for (const std::string& source : tally.wrong_sources()) {
        out << separator << '"' << source << '"';
        separator = ",";
    }
    out << "]}";
    return out.str();
}

std::string json(const Netns& place)
{
    std::string result = "{";
    for (const auto& [name, count] : place.dropped())
        result += (result.size() > 1 ? ",\"" : "\"") + name + "\":" + std::to_string(count);
    return result + "}";
}

/// What stdin says, done.
class Console
{
public:
    Console(const std::string& caller, const std::string& callee, unsigned rate)
        : caller_(caller), callee_(callee), generator_(rate)
    {
        generator_.watch(STDIN_FILENO);
    }

    /// Until stdin ends.
    void run()
    {
        for (;;) {
            generator_.run();
            std::array<char, 4096> news{};
            const ssize_t size = ::read(STDIN_FILENO, news.data(), news.size());
            if (size <= 0)
                return;
            pending_.append(news.data(), static_cast<std::size_t>(size));
            for (std::size_t end = 0; (end = pending_.find('\n')) != std::string::npos;) {
                const std::string line = pending_.substr(0, end);
                pending_.erase(0, end + 1);
                std::cout << answer(line) << std::endl;
            }
        }
    }

private:
    std::string answer(const std::string& line)
    {
        std::istringstream words(line);
        std::string command, what;
        words >> command >> what;
        if (command == "streams")
            return add_streams(what);
        if (command == "start" || command == "resume") {
            generator_.start({what != "callee", what != "caller"});
            return R"({"done":"start"})";
        }
        if (command == "pause") {
            generator_.pause(silence);
            return R"({"done":"pause"})";
        }
        if (command == "report")
            return report();
        return R"({"error":"no such command"})";
    }

    std::string add_streams(const std::string& path)
    {
        std::ifstream file(path);
        std::size_t count = 0;
        for (std::string line; std::getline(file, line); ++count)
            generator_.add(std::make_unique<Stream>(parse(line), caller_, callee_));
        return R"({"done":"streams","count":)" + std::to_string(count) + "}";
    }

    static StreamPlan parse(const std::string& line)
    {
        std::istringstream words(line);
        StreamPlan plan;
        std::string kind, ip;
        words >> plan.id >> kind;
        plan.kind = kind == "rtcp" ? Kind::rtcp : Kind::rtp;
        for (const std::size_t side : {0u, 1u})
            for (Address* address : {&plan.local[side], &plan.relay[side]}) {
                std::uint16_t port = 0;
                words >> ip >> port;
                const auto parsed = Address::parse(ip, port);
                if (!words || !parsed)
                    throw std::runtime_error("no stream in the line: " + line);
                *address = *parsed;
            }
        return plan;
    }

    std::string report() const
    {
        std::ostringstream out;
        out << "{\"latency_us\":{\"p50\":" << generator_.latency().quantile(0.5)
            << ",\"p99\":" << generator_.latency().quantile(0.99)
            << "},\"most_late_us\":" << generator_.most_late_ns() / 1000
            << ",\"dropped\":{\"caller\":" << json(caller_) << ",\"callee\":" << json(callee_)
            << "},\"streams\":[";
        const char* separator = "";
        for (const auto& stream : generator_.streams()) {
            out << separator << "{\"id\":" << stream->id()
                << ",\"caller\":" << json(stream->sent_by(Side::caller))
                << ",\"callee\":" << json(stream->sent_by(Side::callee)) << "}";
            separator = ",";
        }
        out << "]}";
        return out.str();
    }

    Netns caller_, callee_;
    Generator generator_;
    std::string pending_;
};

/// Every stream has four sockets.
void allow_many_descriptors()
{
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int run(int count, char** words)
{
    std::string caller, callee;
    unsigned rate = 50;
    for (int i = 1; i + 1 < count; i += 2) {
        const std::string option = words[i];
        if (option == "--caller-netns")
            caller = words[i + 1];
        else if (option == "--callee-netns")
            callee = words[i + 1];
        else if (option == "--rate")
            rate = static_cast<unsigned>(std::stoul(words[i + 1]));
        else
            throw std::runtime_error("no such option: " + option);
    }
    if (rate == 0)
        throw std::runtime_error("--rate is 0");
    allow_many_descriptors();
    Console(caller, callee, rate).run();
    return 0;
}

} // namespace
} // namespace media_load

int main(int count, char** words)
try {
    return media_load::run(count, words);
} catch (const std::exception& problem) {
    std::cerr << "media_load: " << problem.what() << '\n';
    return 1;
}
