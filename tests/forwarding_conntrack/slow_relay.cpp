// SPDX-License-Identifier: GPL-2.0-or-later
#include "slow_relay.hpp"

#include <poll.h>

namespace conntrack_test
{

SlowRelay::SlowRelay(const LabCall& call) : call_(call), thread_([this] { run(); })
{
}

void SlowRelay::stop()
{
    stopping_ = true;
    if (thread_.joinable())
        thread_.join();
}

void SlowRelay::run()
{
    const auto pass = [this](const UdpPhone& in, const mp_endpoint& source, const UdpPhone& out,
                             const mp_endpoint& destination) {
        mp_endpoint from{};
        // Only one: neither direction waits for the silence of the other.
        const auto data = in.receive(from, 0);
        if (!data || !same(from, source))
            return;
        out.send(destination, *data);
        ++relayed_;
    };
    while (!stopping_) {
        pollfd entries[] = {{call_.relay_caller.fd(), POLLIN, 0},
                            {call_.relay_callee.fd(), POLLIN, 0}};
        if (poll(entries, 2, 20) <= 0)
            continue;
        pass(call_.relay_caller, call_.caller.endpoint(), call_.relay_callee,
             call_.callee.endpoint());
        pass(call_.relay_callee, call_.callee.endpoint(), call_.relay_caller,
             call_.caller.endpoint());
    }
}

} // namespace conntrack_test
