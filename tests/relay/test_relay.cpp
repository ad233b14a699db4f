// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "base/log.hpp"
#include "call.hpp"
#include "plugin/source.hpp"
#include "relay/port_pool.hpp"
#include "relay/relay.hpp"
#include "scripted_dispatcher.hpp"

using namespace mediaproxy;
using namespace mediaproxy::relay;
using test::Phone;

namespace
{

Options loopback_options()
{
    Options options;
    options.name = "r1";
    options.relay_ip = {test::own_loopback()};
    options.routable_private_ranges = {*net::parse_network("127.0.0.0/8")};
    return options;
}

struct Fixture {
    explicit Fixture(Options options = loopback_options(),
                     std::vector<plugin::PluginSource> forwarding = {})
    {
        auto created =
            Relay::create(std::move(options), {io, nullptr, std::move(forwarding), 1, "rec-"});
        if (!created)
            FAIL(created.error().message);
        relay = *std::move(created);
        relay->start();
        owner = relay->add_local_owner(
            "local", [this](const protocol::SessionReport& report) { expired.push_back(report); });
    }
    ~Fixture()
    {
        log::set_sink([](log::Level, std::string_view) {});
    }

    /// Sets up a call; the ports that the caller and the callee were told.
    void set_up(const std::string& call_id = "c1")
    {
        call = {call_id, caller.endpoint(), callee.endpoint(), {}};
        const auto for_callee = relay->update(call.offer(), owner);
        if (!for_callee)
            FAIL(for_callee.error().message);
        const auto for_caller = relay->update(call.answer(), owner);
        if (!for_caller)
            FAIL(for_caller.error().message);
        to_caller_side = {for_caller->address, for_caller->rtp.at(0)};
        to_callee_side = {for_callee->address, for_callee->rtp.at(0)};
    }
    bool run_until_sessions(std::size_t count)
    {
        return test::run_until(io, [&] { return relay->session_count() == count; });
    }

    asio::io_context io;
    std::unique_ptr<Relay> relay;
    session::OwnerId owner = 0;
    std::vector<protocol::SessionReport> expired;
    Phone caller{io, test::own_loopback(2)}, callee{io, test::own_loopback(3)};
    test::CallUpdates call;
    net::Endpoint to_caller_side, to_callee_side; ///< where caller and callee send to
};

net::Endpoint rtcp_of(net::Endpoint endpoint)
{
    ++endpoint.port;
    return endpoint;
}

} // namespace

TEST_CASE("RTP goes both ways through the relay and is counted")
{
    Fixture f;
    f.set_up();
    CHECK(f.to_caller_side != f.to_callee_side);
    for (int i = 0; i < 5; ++i) {
        f.caller.send(f.to_caller_side, test::rtp(8));
        const auto [heard, from] = f.callee.receive();
        CHECK(heard == test::rtp(8));
        CHECK(from == f.to_callee_side);
        f.callee.send(f.to_callee_side, test::rtp(8));
        const auto [answer, from_relay] = f.caller.receive();
        CHECK(answer == test::rtp(8));
        CHECK(from_relay == f.to_caller_side);
    }
    const auto report = f.relay->remove(f.call.bye());
    REQUIRE(report);
    REQUIRE(report->streams.size() == 1);
    const auto& stream = report->streams[0];
    CHECK(stream.rtp_from_caller == protocol::Traffic{5, 5 * 200});
    CHECK(stream.rtp_from_callee == protocol::Traffic{5, 5 * 200});
    CHECK(stream.caller_codec == "G711a");
    CHECK(stream.caller_remote == f.caller.endpoint().to_record());
    CHECK(stream.callee_local == f.to_callee_side.to_record());
    CHECK(report->relay == "r1");
    CHECK(report->record_id.starts_with("rec-"));
    CHECK(f.relay->session_count() == 0);
}

TEST_CASE("the traffic is measured in bits per second over the sampling period")
{
    auto options = loopback_options();
    options.traffic_sampling_period = Seconds{2};
    Fixture f(options);
    f.set_up();
    double told = 0, last = 0;
    const auto look = [&] {
        const double now = f.relay->summary().bps_relayed;
        told += now != last ? now : 0; // a sample may have come amid the packets
        last = now;
        return told;
    };
    for (int i = 0; i < 5; ++i) {
        f.caller.send(f.to_caller_side, test::rtp());
        REQUIRE_FALSE(f.callee.receive().first.empty());
        look();
    }
    constexpr double bits_per_second = 5 * 200 * 8 / 2.0; // with headers, over 2 s
    REQUIRE(test::run_until(f.io, [&] { return look() >= bits_per_second; }));
    CHECK(told == bits_per_second);
    INFO("when nothing flows any more it falls to nothing");
    CHECK(test::run_until(f.io, [&] { return f.relay->summary().bps_relayed == 0; }));
}

TEST_CASE("without a sampling period the traffic is not measured")
{
    auto options = loopback_options();
    options.traffic_sampling_period = Seconds{0};
    Fixture f(options);
    f.set_up();
    f.caller.send(f.to_caller_side, test::rtp());
    REQUIRE_FALSE(f.callee.receive().first.empty());
    f.io.run_for(Milliseconds{30});
    CHECK(f.relay->summary().bps_relayed == 0);
}

TEST_CASE("a phone behind a NAT is answered where it sends from")
{
    Fixture f;
    Phone nat(f.io, test::own_loopback(4));
    f.set_up();
    nat.send(f.to_caller_side, test::rtp());
    REQUIRE_FALSE(f.callee.receive().first.empty());
    f.callee.send(f.to_callee_side, test::rtp());
    CHECK_FALSE(nat.receive().first.empty());
    CHECK(f.caller.hears_nothing());
    INFO("a stranger is not heard");
    f.caller.send(f.to_caller_side, test::rtp());
    CHECK(f.callee.hears_nothing());
}

TEST_CASE("a phone that goes on after its call is not taken for a party of the next one")
{
    Fixture f;
    f.set_up();
    const net::Endpoint old = f.to_caller_side;
    REQUIRE(f.relay->remove(f.call.bye()));
    const auto rested = BootClock::now() + PortPool::Limits{}.rest + Milliseconds{200};
    // The last packet is read, too: nothing waits in the socket that could tell of the phone.
    REQUIRE(test::run_until(f.io, [&] {
        if (BootClock::now() > rested)
            return true;
        f.caller.send(old, test::rtp());
        return false;
    }));
    f.set_up("c2");
    CHECK(f.to_caller_side != old);
    CHECK(f.to_callee_side != old);
}

TEST_CASE("RTCP has its own way beside RTP")
{
    Fixture f;
    Phone rtcp_caller(f.io, test::own_loopback(2),
                      static_cast<net::Port>(f.caller.endpoint().port + 1));
    Phone rtcp_callee(f.io, test::own_loopback(3),
                      static_cast<net::Port>(f.callee.endpoint().port + 1));
    f.set_up();
    rtcp_caller.send(rtcp_of(f.to_caller_side), test::rtcp());
    CHECK(rtcp_callee.receive().second == rtcp_of(f.to_callee_side));
    rtcp_callee.send(rtcp_of(f.to_callee_side), test::rtcp());
    CHECK(rtcp_caller.receive().second == rtcp_of(f.to_caller_side));
}

TEST_CASE("STUN waits for a receiver whose address cannot be reached yet")
{
    auto options = loopback_options();
    options.routable_private_ranges.clear();
    Fixture f(options);
    f.set_up();
    f.caller.send(f.to_caller_side, test::stun());
    f.caller.send(f.to_caller_side, test::rtp());
    CHECK(f.callee.hears_nothing());
    f.callee.send(f.to_callee_side, test::rtp());
    CHECK(f.callee.receive().first == test::stun());
    CHECK(f.caller.receive().first == test::rtp());
}

TEST_CASE("a flooded stream does not silence another")
{
    Fixture f;
    f.set_up();
    const auto flooded = f.to_caller_side;
    Phone second_caller(f.io, test::own_loopback(5)), second_callee(f.io, test::own_loopback(6));
    const test::CallUpdates second{"c2", second_caller.endpoint(), second_callee.endpoint(), {}};
    REQUIRE(f.relay->update(second.offer(), f.owner));
    const auto ports = f.relay->update(second.answer(), f.owner);
    REQUIRE(ports);
    for (int i = 0; i < 200; ++i)
        f.caller.send(flooded, test::rtp());
    second_caller.send({ports->address, ports->rtp[0]}, test::rtp(3));
    CHECK(second_callee.receive().first == test::rtp(3));
}

TEST_CASE("without ports a call is refused and the others go on")
{
    auto options = loopback_options();
    options.port_range = {40000, 40006};
    Fixture f(options);
    f.set_up();
    const test::CallUpdates second{"c2", f.caller.endpoint(), f.callee.endpoint(), {}};
    const auto refused = f.relay->update(second.offer(), f.owner);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Error::Code::exhausted);
    CHECK(f.relay->session_count() == 1);
    f.caller.send(f.to_caller_side, test::rtp());
    CHECK_FALSE(f.callee.receive().first.empty());
    REQUIRE(f.relay->remove(f.call.bye()));
    CHECK(f.relay->update(second.offer(), f.owner));
}

TEST_CASE("a call that nobody answers ends by itself and is reported")
{
    auto options = loopback_options();
    options.answer_timeout = Seconds{1};
    Fixture f(options);
    f.call = {"c1", f.caller.endpoint(), f.callee.endpoint(), {}};
    REQUIRE(f.relay->update(f.call.offer(), f.owner));
    REQUIRE(f.run_until_sessions(0));
    REQUIRE(f.expired.size() == 1);
    CHECK(f.expired[0].call_id == "c1");
    CHECK_FALSE(f.expired[0].start_time);
}

TEST_CASE("a draining relay refuses new calls, serves the old ones and is done with the last")
{
    Fixture f;
    f.set_up();
    int drained = 0;
    f.relay->drain([&] { ++drained; });
    f.io.poll();
    CHECK(drained == 0);
    CHECK(f.relay->summary().status == "halting");
    const test::CallUpdates second{"c2", f.caller.endpoint(), f.callee.endpoint(), {}};
    const auto refused = f.relay->update(second.offer(), f.owner);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Error::Code::unavailable);
    CHECK(f.relay->update(f.call.answer(), f.owner));
    REQUIRE(f.relay->remove(f.call.bye()));
    CHECK(test::run_until(f.io, [&] { return drained == 1; }));
}

TEST_CASE("an idle relay is drained at once")
{
    Fixture f;
    bool drained = false;
    f.relay->drain([&] { drained = true; });
    CHECK(test::run_until(f.io, [&] { return drained; }));
}

TEST_CASE("a relay that stops reports every session")
{
    Fixture f;
    for (const char* call_id : {"c1", "c2", "c3"})
        f.set_up(call_id);
    bool stopped = false;
    f.relay->stop([&] { stopped = true; });
    CHECK(f.expired.size() == 3);
    CHECK(test::run_until(f.io, [&] { return stopped; }));
    CHECK(f.relay->session_count() == 0);
}

TEST_CASE("a call over the link: 4.x dispatcher, media, expired at the end")
{
    asio::io_context io;
    test::ScriptedDispatcher dispatcher(io);
    auto options = loopback_options();
    options.dispatchers = {{"127.0.0.1", dispatcher.endpoint().port}};
    auto relay = Relay::create(options, {io, nullptr, {}, 1, "rec-"});
    REQUIRE(relay);
    (*relay)->start();
    REQUIRE(dispatcher.wait_connection(1));
    Phone caller(io, test::own_loopback(2)), callee(io, test::own_loopback(3));
    const auto update = [](int seq, std::string_view type, const net::Endpoint& media,
                           std::string_view more) {
        return fmt::format("update {}\r\ntype: {}\r\ncall_id: c1\r\ncseq: 1\r\nfrom_uri: a@x\r\n"
                           "to_uri: b@x\r\nfrom_tag: f\r\n{}media: audio:{}:{}:sendrecv\r\n\r\n",
                           seq, type, more, media.address.to_string(), media.port);
    };
    dispatcher.say("sessions 0\r\n\r\n");
    CHECK(dispatcher.wait_line("0 ") == "0 []");
    dispatcher.say(update(1, "request", caller.endpoint(), ""));
    const auto for_callee = protocol::parse_ports(dispatcher.wait_line("1 ")->substr(2));
    dispatcher.say(update(2, "reply", callee.endpoint(), "to_tag: t\r\n"));
    const auto for_caller = protocol::parse_ports(dispatcher.wait_line("2 ")->substr(2));
    REQUIRE((for_callee && for_caller));
    caller.send({for_caller->address, for_caller->rtp[0]}, test::rtp());
    CHECK(callee.receive().first == test::rtp());

    dispatcher.say("sessions 3\r\n\r\nsummary 4\r\n\r\n");
    const auto listed = protocol::parse_reports(dispatcher.wait_line("3 ")->substr(2));
    REQUIRE(listed);
    REQUIRE(listed->size() == 1);
    CHECK(listed->at(0).streams.at(0).rtp_from_caller.packets == 1);
    CHECK(dispatcher.wait_line("4 ")->find("\"stream_count\": {\"audio\": 1}") !=
          std::string::npos);

    bool stopped = false;
    (*relay)->stop([&] { stopped = true; });
    const auto expired = dispatcher.wait_line("expired ");
    REQUIRE(expired);
    const auto report = protocol::parse_report(std::string_view(*expired).substr(8));
    REQUIRE(report);
    CHECK(report->call_id == "c1");
    CHECK(report->all_streams_ice == false);
    CHECK(test::run_until(io, [&] { return stopped && dispatcher.closed; }));
}

TEST_CASE("a relay that stops does not wait long for a dispatcher that does not acknowledge")
{
    std::vector<std::string> log_lines;
    asio::io_context io;
    test::ScriptedDispatcher dispatcher(io);
    auto options = loopback_options();
    options.dispatchers = {{"127.0.0.1", dispatcher.endpoint().port}};
    auto relay = Relay::create(options, {io, nullptr, {}, 1, "rec-"});
    REQUIRE(relay);
    (*relay)->start();
    REQUIRE(dispatcher.wait_connection(1));
    dispatcher.say("hello 0\r\nname: main\r\n\r\nupdate 1\r\ntype: request\r\ncall_id: c1\r\n"
                   "cseq: 1\r\nfrom_uri: a@x\r\nto_uri: b@x\r\nfrom_tag: f\r\n"
                   "media: audio:127.0.0.1:5000:sendrecv\r\n\r\n");
    REQUIRE(dispatcher.wait_line("1 "));
    log::set_sink([&](log::Level, std::string_view line) { log_lines.emplace_back(line); });
    bool stopped = false;
    (*relay)->stop([&] { stopped = true; });
    CHECK(dispatcher.wait_line("expired "));
    CHECK(test::run_until(
        io, [&] { return stopped; }, Seconds(3)));
    log::set_sink([](log::Level, std::string_view) {});
    CHECK(std::any_of(log_lines.begin(), log_lines.end(), [](const std::string& line) {
        return line.find("\"call_id\": \"c1\"") != std::string::npos;
    }));
}

TEST_CASE("wrong settings are errors that name themselves")
{
    struct Row {
        std::string wanted;
        std::function<void(Options&)> change;
    };
    const Row rows[] = {
        {"port_range",
         [](Options& o) {
             o.port_range = {40001, 40010};
         }},
        {"port_range",
         [](Options& o) {
             o.port_range = {40010, 40000};
         }},
        {"port_range",
         [](Options& o) {
             o.port_range = {1000, 40000};
         }},
        {"relay_ip 192.0.2.1",
         [](Options& o) { o.relay_ip = {*net::Address::parse("192.0.2.1")}; }},
        {"advertised_ip 2001:db8::1",
         [](Options& o) { o.advertised_ip = {*net::Address::parse("2001:db8::1")}; }},
        {"learning_policy", [](Options& o) { o.learning_policy = "gut feeling"; }},
        {"keepalive_interval", [](Options& o) { o.keepalive_interval = Seconds{0}; }},
    };
    asio::io_context io;
    for (const Row& row : rows) {
        auto options = loopback_options();
        row.change(options);
        const auto relay = Relay::create(options, {io, nullptr, {}, 1, "rec-"});
        REQUIRE_FALSE(relay);
        CHECK(relay.error().message.find(row.wanted) != std::string::npos);
    }
}

TEST_CASE("without its forwarding plugin the relay goes on by itself and says so once")
{
    std::vector<std::string> warnings;
    log::set_sink([&](log::Level level, std::string_view line) {
        if (level == log::Level::warning)
            warnings.emplace_back(line);
    });
    const plugin::PluginSource source{"/nowhere", "teleport", "", {}, {}};
    Fixture f(loopback_options(), {source});
    REQUIRE(warnings.size() == 2);
    CHECK(warnings[0].find("forwarding_teleport.so") != std::string::npos);
    CHECK(warnings[1].find("relayed by the daemon itself") != std::string::npos);
    f.set_up();
    f.caller.send(f.to_caller_side, test::rtp());
    CHECK_FALSE(f.callee.receive().first.empty());
    CHECK(warnings.size() == 2);
    using Counts = std::vector<std::pair<std::string, std::uint64_t>>;
    CHECK(f.relay->summary().flow_count == Counts{{"slow", 0}});
    f.callee.send(f.to_callee_side, test::rtp());
    CHECK_FALSE(f.caller.receive().first.empty());
    CHECK(f.relay->summary().flow_count == Counts{{"slow", 1}});
}

#ifdef FORWARDING_PLUGINS
TEST_CASE("the first back end that works forwards, and the log says why another does not")
{
    std::vector<std::string> warnings;
    log::set_sink([&](log::Level level, std::string_view line) {
        if (level == log::Level::warning)
            warnings.emplace_back(line);
    });
    plugin::PluginSource wrong{FORWARDING_PLUGINS, "userspace", "forwarding.wrong", {}, {}};
    wrong.settings = {{"threads", "none", ""}};
    const plugin::PluginSource right{FORWARDING_PLUGINS, "userspace", "forwarding.right", {}, {}};
    Fixture f(loopback_options(), {wrong, right, wrong});
    REQUIRE(warnings.size() == 1);
    CHECK(warnings[0].find("forwarding.wrong: threads") != std::string::npos);
    f.set_up();
    f.caller.send(f.to_caller_side, test::rtp());
    CHECK_FALSE(f.callee.receive().first.empty());
    f.callee.send(f.to_callee_side, test::rtp());
    CHECK_FALSE(f.caller.receive().first.empty());
    using Counts = std::vector<std::pair<std::string, std::uint64_t>>;
    CHECK(test::run_until(f.io, [&] {
        return f.relay->summary().flow_count == Counts{{"right", 1}, {"slow", 0}};
    }));
}

TEST_CASE("with the forwarding plugin nothing is lost and everything is counted")
{
    const plugin::PluginSource source{FORWARDING_PLUGINS, "userspace", "", {}, {}};
    Fixture f(loopback_options(), {source});
    f.set_up();
    for (int i = 0; i < 50; ++i) {
        f.caller.send(f.to_caller_side, test::rtp());
        REQUIRE(f.callee.receive().second == f.to_callee_side);
        f.callee.send(f.to_callee_side, test::rtp());
        REQUIRE(f.caller.receive().second == f.to_caller_side);
    }
    bool listed = false;
    f.relay->refresh([&] {
        f.relay->list(0, 10, [&](auto, const protocol::SessionReport& report) {
            listed = report.streams.at(0).rtp_from_caller.packets == 50;
        });
    });
    CHECK(test::run_until(
        f.io, [&] { return listed; }, Seconds(1)));
    const auto report = f.relay->remove(f.call.bye());
    REQUIRE(report);
    CHECK(report->streams.at(0).rtp_from_caller == protocol::Traffic{50, 50 * 200});
    CHECK(report->streams.at(0).rtp_from_callee == protocol::Traffic{50, 50 * 200});
}
#endif

TEST_CASE("a relay leaves neither descriptors nor sessions behind")
{
    const std::size_t before = test::open_descriptors();
    {
        Fixture f;
        for (int i = 0; i < 50; ++i)
            f.set_up("c" + std::to_string(i));
        for (int i = 0; i < 25; ++i)
            CHECK(f.relay->remove({"c" + std::to_string(i), "f", "t"}));
    }
    CHECK(test::open_descriptors() == before);
}
