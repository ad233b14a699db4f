// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <catch2/catch.hpp>

#include "base/log.hpp"
#include "call.hpp"
#include "relay/forwarder.hpp"
#include "relay/packet_path.hpp"

using namespace mediaproxy;
using namespace mediaproxy::relay;
using test::Phone;

namespace
{

/// What the fake back end was asked for, kept by the test.
struct Script {
    mp_status verdict = MP_OK;
    bool reads = true;
    std::vector<mp_flow> installed;
    std::vector<mp_flow_id> removed;
    int removals = 0; ///< calls of remove()
    std::vector<std::uint64_t> reads_asked;
    mp_traffic carried{};
};

class FakeBackend final : public FlowBackend
{
public:
    explicit FakeBackend(Script& script) : script_(script) {}
    std::string_view name() const noexcept override { return "fake"; }
    bool reads_sockets() const noexcept override { return script_.reads; }
    void install(std::span<const mp_flow* const> flows, std::span<mp_status> each,
                 std::string& why) override
    {
        for (std::size_t i = 0; i < flows.size(); ++i) {
            script_.installed.push_back(*flows[i]);
            each[i] = script_.verdict;
        }
        if (script_.verdict != MP_OK)
            why = "it is full";
    }
    void remove(std::span<const mp_flow_id> ids, std::span<mp_flow_reading> finals) override
    {
        ++script_.removals;
        for (std::size_t i = 0; i < ids.size(); ++i) {
            script_.removed.push_back(ids[i]);
            finals[i] = {ids[i], script_.carried, script_.carried, -1, -1};
        }
    }
    Result<void> read(std::uint64_t request) override
    {
        script_.reads_asked.push_back(request);
        return {};
    }

private:
    Script& script_;
};

/// A relay without a call.
struct House {
    House()
    {
        log::set_sink([this](log::Level level, std::string_view line) {
            if (level == log::Level::warning)
                warnings.emplace_back(line);
            if (level == log::Level::info)
                infos.emplace_back(line);
        });
        REQUIRE(poller.start(path));
        forwarder.start(table, path, std::make_unique<FakeBackend>(script), Seconds{100});
    }
    ~House()
    {
        log::set_sink([](log::Level, std::string_view) {});
    }

    static LocalAddresses addresses()
    {
        Options options;
        options.relay_ip = {test::own_loopback()};
        return *LocalAddresses::create(options);
    }
    static session::Rules rules()
    {
        session::Rules rules;
        rules.routable_private_ranges = {*net::parse_network("127.0.0.0/8")};
        return rules;
    }
    std::vector<std::string> warnings, infos;
    Script script;
    asio::io_context io;
    MediaPoller poller{io};
    PortPool ports{io, poller, addresses(), {20000, 30000}, {}, {}};
    Forwarder forwarder{io, ports, poller};
    session::SessionTable table{rules(), ports, forwarder, 1};
    PacketPath path{table, ports, forwarder};
};

struct Call {
    Call(House& house, const std::string& call_id)
        : caller(house.io, test::own_loopback(2)),
          callee(house.io, test::own_loopback(3)), updates{call_id,
                                                           caller.endpoint(),
                                                           callee.endpoint(),
                                                           {}}
    {
        const auto offered = house.table.update(updates.offer(), 1, read_clocks());
        REQUIRE(offered);
        const auto answered = house.table.update(updates.answer(), 1, read_clocks());
        REQUIRE(answered);
        callee_side = {offered->address, offered->rtp[0]};
        caller_side = {answered->address, answered->rtp[0]};
    }
    void talk()
    {
        caller.send(caller_side, test::rtp());
        REQUIRE_FALSE(callee.receive().first.empty());
        callee.send(callee_side, test::rtp());
        REQUIRE_FALSE(caller.receive().first.empty());
    }
    Phone caller, callee;
    test::CallUpdates updates;
    net::Endpoint caller_side, callee_side;
};

struct Fixture : House {
    Call call{*this, "c1"};
};

} // namespace

TEST_CASE("a flow goes to the back end when both sides have spoken, and its sockets with it")
{
    Fixture f;
    f.call.caller.send(f.call.caller_side, test::rtp());
    REQUIRE_FALSE(f.call.callee.receive().first.empty());
    CHECK(f.script.installed.empty());
    f.call.callee.send(f.call.callee_side, test::rtp());
    REQUIRE_FALSE(f.call.caller.receive().first.empty());
    REQUIRE(test::run_until(f.io, [&] { return f.script.installed.size() == 1; }));
    const mp_flow& flow = f.script.installed[0];
    CHECK(flow.struct_size == sizeof flow);
    CHECK(flow.id == 1);
    CHECK(flow.caller_remote.port == f.call.caller.endpoint().port);
    CHECK(flow.caller_local.port == f.call.caller_side.port);
    CHECK(flow.callee_local.port == f.call.callee_side.port);
    CHECK(flow.callee_remote.port == f.call.callee.endpoint().port);
    CHECK(flow.orphan_timeout_ms == 100000);
    SocketAddress local;
    local.size = sizeof local.storage;
    REQUIRE(::getsockname(flow.caller_fd, local.get(), &local.size) == 0);
    CHECK(local.endpoint() == f.call.caller_side);
    INFO("what comes now is the back end's");
    f.call.caller.send(f.call.caller_side, test::rtp());
    CHECK(f.call.callee.hears_nothing());
    CHECK(drain_socket(flow.caller_fd, 10) == 1);
}

TEST_CASE("the totals of a removed flow are in the report, and its sockets are ours again")
{
    Fixture f;
    f.script.carried = {100, 20000};
    f.call.talk();
    REQUIRE(test::run_until(f.io, [&] { return f.forwarder.flow_count() == 1; }));
    const auto report = f.table.remove(f.call.updates.bye(), read_clocks());
    REQUIRE(report);
    CHECK(f.script.removed == std::vector<mp_flow_id>{1});
    CHECK(f.forwarder.flow_count() == 0);
    CHECK(report->streams.at(0).rtp_from_caller == protocol::Traffic{101, 20200});
    CHECK(report->streams.at(0).rtp_from_callee == protocol::Traffic{101, 20200});
}

TEST_CASE("a flow that the back end refuses stays on the slow path, with one warning")
{
    Fixture f;
    f.script.verdict = MP_E_FAILED;
    f.call.talk();
    REQUIRE(test::run_until(f.io, [&] { return f.script.installed.size() == 1; }));
    for (int i = 0; i < 20; ++i)
        f.call.talk();
    CHECK(f.forwarder.flow_count() == 0);
    REQUIRE(f.warnings.size() == 1);
    CHECK(f.warnings[0].find("it is full") != std::string::npos);
}

TEST_CASE("a flow that the back end lost goes on on the slow path")
{
    Fixture f;
    f.script.carried = {10, 2000};
    f.call.talk();
    REQUIRE(test::run_until(f.io, [&] { return f.forwarder.flow_count() == 1; }));
    f.forwarder.on_lost(1, MP_FLOW_FAILED);
    f.forwarder.on_lost(1, MP_FLOW_FAILED);
    f.forwarder.on_lost(99, MP_FLOW_FAILED);
    REQUIRE(test::run_until(f.io, [&] { return f.forwarder.flow_count() == 0; }));
    CHECK(f.script.removed == std::vector<mp_flow_id>{1});
    f.call.talk();
    const auto report = f.table.remove(f.call.updates.bye(), read_clocks());
    REQUIRE(report);
    CHECK(report->streams.at(0).rtp_from_caller.packets == 12);
}

TEST_CASE("flows that are lost together are taken back together, and one line says so")
{
    Fixture f;
    f.script.carried = {10, 2000};
    Call other(f, "c2");
    f.call.talk();
    other.talk();
    REQUIRE(test::run_until(f.io, [&] { return f.forwarder.flow_count() == 2; }));
    f.forwarder.on_lost(1, MP_FLOW_FAILED);
    f.forwarder.on_lost(2, MP_FLOW_FAILED);
    REQUIRE(test::run_until(f.io, [&] { return f.forwarder.flow_count() == 0; }));
    CHECK(f.script.removals == 1);
    CHECK(f.script.removed == std::vector<mp_flow_id>{1, 2});
    REQUIRE(f.infos.size() == 1);
    CHECK(f.infos[0].find("lost 2 flow(s)") != std::string::npos);
    INFO("what they carried counts");
    const auto report = f.table.remove(other.updates.bye(), read_clocks());
    REQUIRE(report);
    CHECK(report->streams.at(0).rtp_from_caller.packets == 11);
}

TEST_CASE("the log tells apart why flows are lost")
{
    Fixture f;
    Call other(f, "c2");
    f.call.talk();
    other.talk();
    REQUIRE(test::run_until(f.io, [&] { return f.forwarder.flow_count() == 2; }));
    f.forwarder.on_lost(1, MP_FLOW_FAILED);
    f.forwarder.on_lost(2, MP_FLOW_DELETED);
    REQUIRE(test::run_until(f.io, [&] { return f.forwarder.flow_count() == 0; }));
    REQUIRE(f.infos.size() == 2);
    CHECK(f.infos[0].find("lost 1 flow(s) (someone deleted") != std::string::npos);
    CHECK(f.infos[1].find("lost 1 flow(s) (it can no longer") != std::string::npos);
}

TEST_CASE("a lost flow whose call ends at the same time is taken back once")
{
    Fixture f;
    f.call.talk();
    REQUIRE(test::run_until(f.io, [&] { return f.forwarder.flow_count() == 1; }));
    f.forwarder.on_lost(1, MP_FLOW_DELETED);
    REQUIRE(f.table.remove(f.call.updates.bye(), read_clocks()));
    f.io.restart();
    f.io.poll();
    CHECK(f.script.removed == std::vector<mp_flow_id>{1});
    CHECK(f.infos.empty());
}

TEST_CASE("a back end that leaves the sockets to us has them read all the time")
{
    Fixture f;
    f.script.reads = false;
    f.call.talk();
    REQUIRE(test::run_until(f.io, [&] { return f.forwarder.flow_count() == 1; }));
    f.call.talk();
}

TEST_CASE("strays are judged like packets from a socket")
{
    Fixture f;
    Phone stranger(f.io, test::own_loopback(4));
    f.call.talk();
    REQUIRE(test::run_until(f.io, [&] { return f.forwarder.flow_count() == 1; }));
    f.forwarder.on_stray(1, session::Party::caller, stranger.endpoint(), test::rtp());
    CHECK(f.call.callee.hears_nothing());
    f.forwarder.on_stray(1, session::Party::caller, f.call.caller.endpoint(), test::rtp());
    CHECK_FALSE(f.call.callee.receive().first.empty());
    INFO("one that comes late harms nothing");
    f.forwarder.on_stray(99, session::Party::caller, f.call.caller.endpoint(), test::rtp());
}

TEST_CASE("counters are read before a list, but nobody waits long for them")
{
    Fixture f;
    int done = 0;
    f.forwarder.refresh([&] { ++done; });
    CHECK(done == 1);
    f.call.talk();
    REQUIRE(test::run_until(f.io, [&] { return f.forwarder.flow_count() == 1; }));
    f.forwarder.refresh([&] { ++done; });
    REQUIRE_FALSE(f.script.reads_asked.empty());
    CHECK(done == 1);
    const mp_flow_reading reading{1, {7, 1400}, {0, 0}, -1, -1};
    f.forwarder.on_readings(f.script.reads_asked.back(), {&reading, 1}, FlowEvents::Piece::last);
    CHECK(done == 2);
    std::uint64_t packets = 0;
    f.table.list(0, 10, read_clocks(), [&](auto, const protocol::SessionReport& report) {
        packets = report.streams.at(0).rtp_from_caller.packets;
    });
    CHECK(packets == 8);
    INFO("a back end that does not answer");
    f.forwarder.refresh([&] { ++done; });
    CHECK(test::run_until(
        f.io, [&] { return done == 3; }, Seconds(1)));
}

TEST_CASE("a back end that has no flows is read too: it may find that it can forward again")
{
    Fixture f;
    CHECK(test::run_until(
        f.io, [&] { return !f.script.reads_asked.empty(); }, Seconds(10)));
}

TEST_CASE("at the end every flow is taken back")
{
    Fixture f;
    f.call.talk();
    REQUIRE(test::run_until(f.io, [&] { return f.forwarder.flow_count() == 1; }));
    Call other(f, "c2");
    other.talk();
    REQUIRE(test::run_until(f.io, [&] { return f.forwarder.flow_count() == 2; }));
    f.forwarder.stop();
    CHECK(f.script.removals == 1);
    std::ranges::sort(f.script.removed);
    CHECK(f.script.removed == std::vector<mp_flow_id>{1, 2});
    f.call.talk();
}
