// SPDX-License-Identifier: GPL-2.0-or-later
// A worker is held up, and finds much at once when it goes on.
#include <catch2/catch.hpp>

#include <atomic>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

#include "engines.hpp"
#include "plugin_host.hpp"
#include "udp_phone.hpp"

using namespace forwarding_test;

namespace
{

bool sleeps(pid_t thread)
{
    std::ifstream status("/proc/self/task/" + std::to_string(thread) + "/stat");
    std::string number, name, state;
    status >> number >> name >> state;
    return state == "S";
}

/// Holds up the only worker of a host, from a stranger's packet on.
class HeldUp
{
public:
    HeldUp(PluginHost& host, const mp_endpoint& relay) : host_(host)
    {
        host_.on_stray([state = state_] {
            state->held = true;
            state->held.notify_one();
            while (!state->released || (state->sleeper != 0 && !sleeps(state->sleeper)))
                std::this_thread::yield();
        });
        stranger_.send(relay, "wait");
        state_->held.wait(false);
    }
    HeldUp(const HeldUp&) = delete;
    HeldUp& operator=(const HeldUp&) = delete;
    ~HeldUp()
    {
        release();
        host_.on_stray(nullptr);
    }

    const UdpPhone& stranger() const { return stranger_; }
    void release() { state_->released = true; }
    /// Goes on when the calling thread waits for something.
    void release_when_awaited()
    {
        state_->sleeper = gettid();
        release();
    }

private:
    /// The worker may look at it when we are gone.
    struct State {
        std::atomic<bool> held{false};
        std::atomic<bool> released{false};
        std::atomic<pid_t> sleeper{0};
    };
    PluginHost& host_;
    UdpPhone stranger_;
    std::shared_ptr<State> state_ = std::make_shared<State>();
};

/// Long enough for second sockets; false when a packet was lost.
bool talk(const Call& call)
{
    for (int i = 0; i < 20; ++i) {
        call.caller.send(call.relay_caller.endpoint(), "hello");
        if (call.callee.receive() != "hello")
            return false;
    }
    return true;
}

bool removes_in_a_crowd()
{
    constexpr mp_flow_id leaving = 1;
    constexpr unsigned packets_each = 64;
    const Call call;
    const std::vector<Call> crowd(100);
    PluginHost host(PLUGIN_PATH, engine("io_uring"));
    if (host.install(call.flow(leaving)) != MP_OK || !talk(call))
        return false;
    for (std::size_t i = 0; i < crowd.size(); ++i) {
        if (host.install(crowd[i].flow(leaving + 1 + i)) != MP_OK)
            return false;
    }
    {
        HeldUp worker(host, call.relay_caller.endpoint());
        for (unsigned i = 0; i < packets_each; ++i) {
            for (const Call& each : crowd)
                each.caller.send(each.relay_caller.endpoint(), "x");
        }
        worker.release_when_awaited();
        if (host.remove(leaving).from_caller.packets != 20)
            return false;
    }
    std::uint64_t counted = 0;
    while (counted < crowd.size() * packets_each) {
        counted = 0;
        for (const auto& [id, reading] : host.read())
            counted += reading.from_caller.packets;
    }
    return counted == crowd.size() * packets_each;
}

} // namespace

TEST_CASE("a call can be removed while packets of others fill every buffer")
{
    CHECK(in_a_process(removes_in_a_crowd));
}

TEST_CASE("large datagrams pass whatever a stranger does in the moment in which they begin")
{
    const Call call;
    PluginHost host(PLUGIN_PATH, engine("io_uring"));
    REQUIRE(host.install(call.flow(1)) == MP_OK);
    REQUIRE(talk(call));
    const std::string large(9000, 'l');
    {
        const HeldUp worker(host, call.relay_caller.endpoint());
        worker.stranger().send(call.relay_caller.endpoint(), ""); // ends the reading of a socket
        call.caller.send(call.relay_caller.endpoint(), large);
    }
    // The first ones tell the engine what room to give; they may be lost.
    bool heard = false;
    for (int i = 0; i < 100 && !heard; ++i) {
        call.caller.send(call.relay_caller.endpoint(), large);
        heard = call.callee.receive(20) == large;
    }
    CHECK(heard);
}
