// SPDX-License-Identifier: GPL-2.0-or-later
#include "talk.hpp"

#include <chrono>
#include <string>

namespace conntrack_test
{
namespace
{

constexpr std::uint64_t most_packets = 1'000'000;
constexpr std::chrono::microseconds pause{300};

} // namespace

Talk::Talk(const LabCall& call)
    : ways_{
          {&call.caller, &call.callee, call.relay_caller.endpoint(), call.relay_callee.endpoint()},
          {&call.callee, &call.caller, call.relay_callee.endpoint(), call.relay_caller.endpoint()}}
{
    for (Way& way : ways_) {
        way.seen.resize(most_packets);
        threads_.emplace_back([this, &way] { listen(way); });
    }
    threads_.emplace_back([this] { speak(); });
}

Talk::~Talk()
{
    silent_ = deaf_ = true;
    for (std::thread& thread : threads_) {
        if (thread.joinable())
            thread.join();
    }
}

void Talk::speak()
{
    for (std::uint64_t number = 0; !silent_ && number < most_packets; ++number) {
        for (Way& way : ways_) {
            way.from->send(way.in, std::to_string(number));
            ++way.sent;
        }
        std::this_thread::sleep_for(pause);
    }
}

void Talk::listen(Way& way)
{
    while (!deaf_) {
        mp_endpoint from{};
        const auto data = way.to->receive(from, 20);
        if (!data)
            continue;
        way.outcome.wrong_source += same(from, way.out) ? 0 : 1;
        way.outcome.doubled += way.seen[std::stoull(*data)]++ == 0 ? 0 : 1;
        ++way.received;
    }
}

bool Talk::await_more(std::uint64_t packets, std::chrono::seconds patience) const
{
    const std::uint64_t wanted[] = {ways_[0].received + packets, ways_[1].received + packets};
    const auto end = std::chrono::steady_clock::now() + patience;
    while (ways_[0].received < wanted[0] || ways_[1].received < wanted[1]) {
        if (std::chrono::steady_clock::now() > end)
            return false;
        std::this_thread::sleep_for(pause);
    }
    return true;
}

void Talk::hang_up()
{
    silent_ = true;
    threads_.back().join();
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(2);
    const auto complete = [](const Way& way) { return way.received >= way.sent; };
    while (!(complete(ways_[0]) && complete(ways_[1])) &&
           std::chrono::steady_clock::now() < patience)
        std::this_thread::sleep_for(pause);
    deaf_ = true;
    for (Way& way : ways_) {
        threads_[static_cast<std::size_t>(&way - ways_)].join();
        way.outcome.sent = way.sent;
        way.outcome.received = way.received;
        for (std::uint64_t number = 0; number < way.sent; ++number)
            way.outcome.lost += way.seen[number] == 0 ? 1 : 0;
    }
}

} // namespace conntrack_test
