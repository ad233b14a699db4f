// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>
#include <optional>
#include <set>
#include <vector>

#include "loop.hpp"
#include "relay/media_socket.hpp"
#include "relay/port_pool.hpp"

using namespace mediaproxy;
using namespace mediaproxy::relay;
using session::ComponentKind;
using session::Party;

namespace
{

struct SilentReader : MediaPoller::Reader {
    void on_readable(SocketId) noexcept override { ++readable; }
    void on_turn_end() override {}
    int readable = 0;
};

PortPool::Limits quick()
{
    PortPool::Limits limits;
    limits.rest = Milliseconds{0};
    limits.reserve_pairs = 0;
    return limits;
}

struct Fixture {
    explicit Fixture(PortRange range, PortPool::Limits limits = quick(),
                     const std::vector<net::Endpoint>& control = {})
        : poller(io)
    {
        REQUIRE(poller.start(reader));
        Options options;
        options.relay_ip = {address};
        auto addresses = LocalAddresses::create(options);
        REQUIRE(addresses);
        pool.emplace(io, poller, *addresses, range, control, limits);
    }
    Result<session::PortPair> acquire() { return acquire(address); }
    Result<session::PortPair> acquire(const net::Address& at)
    {
        return pool->acquire({at, at}, stream, Party::callee);
    }

    net::Address address = test::own_loopback();
    asio::io_context io;
    SilentReader reader;
    MediaPoller poller;
    std::optional<PortPool> pool;
    alignas(16) std::byte storage[16]{};
    session::Stream& stream = reinterpret_cast<session::Stream&>(storage);
};

} // namespace

TEST_CASE("a lent port is found by where it sends from")
{
    Fixture f({20000, 20008});
    const auto first = f.acquire(), second = f.acquire();
    REQUIRE((first && second));
    const auto at = [&](const net::Address& address, int port) {
        return f.pool->lent_at({address, static_cast<net::Port>(port)});
    };
    CHECK(at(f.address, first->rtp.port).stream == &f.stream);
    CHECK(at(f.address, first->rtp.port).component == ComponentKind::rtp);
    CHECK(at(f.address, first->rtp.port + 1).component == ComponentKind::rtcp);
    CHECK(at(f.address, first->rtp.port + 1).party == Party::callee);
    CHECK_FALSE(at(test::own_loopback(9), first->rtp.port).stream);
    CHECK_FALSE(at(f.address, 19999).stream);
    CHECK_FALSE(at(f.address, 20008).stream);
    f.pool->release(*first);
    CHECK_FALSE(at(f.address, first->rtp.port).stream);
    CHECK(at(f.address, second->rtp.port).stream == &f.stream);
}

TEST_CASE("a pair is an even port and the odd one above it, both bound")
{
    Fixture f({20000, 20040});
    std::set<net::Port> ports;
    for (int i = 0; i < 20; ++i) {
        const auto pair = f.acquire();
        REQUIRE(pair);
        CHECK(pair->rtp.port % 2 == 0);
        CHECK(pair->rtp.port >= 20000);
        CHECK(pair->rtp.port < 20040);
        CHECK(pair->rtp.address == f.address);
        CHECK(ports.insert(pair->rtp.port).second);
        for (int next = 0; next < 2; ++next) {
            const UniqueFd fd = open_udp(net::Family::v4);
            const auto port = static_cast<net::Port>(pair->rtp.port + next);
            CHECK(bind_udp(fd.get(), {f.address, port}) == EADDRINUSE);
        }
        const auto role = f.pool->role({pair->slot, ComponentKind::rtcp});
        CHECK(role.stream == &f.stream);
        CHECK(role.party == Party::callee);
        CHECK(role.component == ComponentKind::rtcp);
    }
}

TEST_CASE("when no port is left the request fails and nothing is taken")
{
    Fixture f({40000, 40006});
    std::vector<session::PortPair> pairs;
    for (int i = 0; i < 3; ++i) {
        auto pair = f.acquire();
        REQUIRE(pair);
        pairs.push_back(*pair);
    }
    const std::size_t descriptors = test::open_descriptors();
    const auto none = f.acquire();
    REQUIRE_FALSE(none);
    CHECK(none.error().code == Error::Code::exhausted);
    CHECK(none.error().message.find("40000:40006") != std::string::npos);
    CHECK(f.pool->lent_pairs() == 3);
    CHECK(test::open_descriptors() == descriptors);
    f.pool->release(pairs[1]);
    const auto again = f.acquire();
    REQUIRE(again);
    CHECK(again->rtp.port == pairs[1].rtp.port);
}

TEST_CASE("ports that others have are set aside and tried again later")
{
    auto limits = quick();
    limits.set_aside = Milliseconds{20};
    Fixture f({40000, 40006}, limits);
    UniqueFd other = open_udp(net::Family::v4), another = open_udp(net::Family::v4);
    REQUIRE(bind_udp(other.get(), {f.address, 40000}) == 0);
    REQUIRE(bind_udp(another.get(), {f.address, 40003}) == 0);
    const auto pair = f.acquire();
    REQUIRE(pair);
    CHECK(pair->rtp.port == 40004);
    CHECK_FALSE(f.acquire());
    other.reset();
    REQUIRE(test::run_until(f.io, [&] { return f.acquire().has_value(); }));
    CHECK(f.pool->lent_pairs() == 2);
}

TEST_CASE("sockets are recycled, not made anew")
{
    Fixture f({20000, 30000});
    const auto first = f.acquire();
    REQUIRE(first);
    f.pool->release(*first);
    CHECK(f.pool->role({first->slot, ComponentKind::rtp}).stream == nullptr);
    for (int i = 0; i < 100; ++i) {
        const auto pair = f.acquire();
        REQUIRE(pair);
        CHECK(pair->slot == first->slot);
        f.pool->release(*pair);
    }
    CHECK(f.pool->bound_pairs() == 1);
}

TEST_CASE("a pair that was given back rests while there are others")
{
    auto limits = quick();
    limits.rest = Seconds{3600};
    Fixture f({20000, 20020}, limits);
    std::set<net::Port> ports;
    for (int i = 0; i < 10; ++i) {
        const auto pair = f.acquire();
        REQUIRE(pair);
        CHECK(ports.insert(pair->rtp.port).second);
        f.pool->release(*pair);
    }
    INFO("all ten rest: now the one free longest comes again");
    for (int i = 0; i < 10; ++i) {
        const auto pair = f.acquire();
        REQUIRE(pair);
        CHECK(ports.erase(pair->rtp.port) == 1);
        f.pool->release(*pair);
    }
}

TEST_CASE("a busy relay uses pairs before they rested rather than bind more and more")
{
    auto limits = quick();
    limits.rest = Seconds{3600};
    limits.most_idle_pairs = 8;
    Fixture f({20000, 30000}, limits);
    for (int i = 0; i < 100; ++i) {
        const auto pair = f.acquire();
        REQUIRE(pair);
        f.pool->release(*pair);
    }
    CHECK(f.pool->bound_pairs() == 8);
}

TEST_CASE("a recycled socket brings nothing of the call before")
{
    Fixture f({40000, 40002});
    const auto pair = f.acquire();
    REQUIRE(pair);
    f.pool->release(*pair);
    const UniqueFd phone = open_udp(net::Family::v4);
    const std::byte packet[12]{};
    for (int i = 0; i < 40; ++i)
        send_datagram(phone.get(), {f.address, static_cast<net::Port>(40000 + i % 2)}, packet);
    const auto again = f.acquire();
    REQUIRE(again);
    for (const auto component : {ComponentKind::rtp, ComponentKind::rtcp})
        CHECK(drain_socket(f.pool->fd({again->slot, component}), 1) == 0);
    send_datagram(phone.get(), {f.address, 40000}, packet);
    CHECK(test::run_until(f.io, [&] { return f.reader.readable > 0; }));
}

TEST_CASE("a pair that somebody still sends to is left for later")
{
    Fixture f({40000, 40004});
    const auto one = f.acquire(), two = f.acquire();
    REQUIRE((one && two));
    f.pool->release(*one);
    f.pool->release(*two);
    const UniqueFd phone = open_udp(net::Family::v4);
    const std::byte packet[12]{};
    send_datagram(phone.get(), one->rtp, packet);
    CHECK(f.acquire()->rtp.port == two->rtp.port);
}

TEST_CASE("a pair to which somebody sent while nobody owned it is the last to be lent")
{
    Fixture f({40000, 40004});
    const auto one = f.acquire(), two = f.acquire();
    REQUIRE((one && two));
    f.pool->release(*one);
    for (int i = 0; i < 20; ++i) { // among quiet ones it would be chosen at random
        f.pool->release(*two);
        f.pool->on_unowned({one->slot, ComponentKind::rtcp}, BootClock::now() + Seconds{60});
        REQUIRE(f.acquire()->rtp.port == two->rtp.port);
    }
    INFO("better that one than none");
    CHECK(f.acquire()->rtp.port == one->rtp.port);
}

TEST_CASE("where nothing has rested, quiet pairs go before many that somebody sends to")
{
    auto limits = quick();
    limits.rest = std::chrono::hours{1};
    Fixture f({40000, 40040}, limits);
    std::vector<session::PortPair> all;
    for (int i = 0; i < 20; ++i)
        all.push_back(*f.acquire());
    std::set<net::Port> noisy;
    for (const session::PortPair& pair : all)
        f.pool->release(pair);
    for (int i = 0; i < 16; ++i) {
        noisy.insert(all[i].rtp.port);
        f.pool->on_unowned({all[i].slot, ComponentKind::rtp}, BootClock::now() + Seconds{1});
    }
    for (int i = 0; i < 4; ++i)
        CHECK_FALSE(noisy.contains(f.acquire()->rtp.port));
}

TEST_CASE("pairs bound ahead of need are lent before a call fails, though somebody sends to them")
{
    auto limits = quick();
    limits.rest = std::chrono::hours{1};
    limits.reserve_pairs = 4;
    Fixture f({40000, 40008}, limits);
    const auto first = f.acquire(); // the reserve is filled after it
    REQUIRE(test::run_until(f.io, [&] { return f.pool->bound_pairs() == 4; }));
    for (std::uint32_t slot = 0; slot < 4; ++slot)
        f.pool->on_unowned({slot, ComponentKind::rtp}, BootClock::now());
    for (int i = 0; i < 3; ++i)
        CHECK(f.acquire());
    CHECK_FALSE(f.acquire());
}

TEST_CASE("the descriptors that media may use are a limit, too")
{
    auto limits = quick();
    limits.sockets = 6;
    Fixture f({20000, 30000}, limits);
    const auto first = f.acquire();
    REQUIRE(first);
    REQUIRE(f.acquire());
    REQUIRE(f.acquire());
    const auto none = f.acquire();
    REQUIRE_FALSE(none);
    CHECK(none.error().code == Error::Code::exhausted);
    INFO("an idle pair at another address makes room");
    f.pool->release(*first);
    CHECK(f.acquire(test::own_loopback(2)));
    CHECK(f.pool->bound_pairs() == 3);
}

TEST_CASE("pairs that made room for another address are not closed twice")
{
    auto limits = quick();
    limits.sockets = 8;
    limits.shrink_interval = Milliseconds{10};
    Fixture f({20000, 30000}, limits);
    std::vector<session::PortPair> pairs;
    for (int i = 0; i < 4; ++i)
        pairs.push_back(*f.acquire());
    for (const auto& pair : pairs)
        f.pool->release(pair);
    // One shrink has seen that four lie idle when others need three of them.
    REQUIRE(test::run_until(f.io, [&] { return f.pool->bound_pairs() < 4; }));
    std::vector<session::PortPair> others;
    for (int i = 0; i < 4; ++i) {
        if (auto pair = f.acquire(test::own_loopback(2)))
            others.push_back(*pair);
    }
    const auto shrunk = BootClock::now() + 5 * limits.shrink_interval;
    REQUIRE(test::run_until(f.io, [&] { return BootClock::now() > shrunk; }));
    CHECK(f.pool->bound_pairs() == others.size());
    CHECK(f.pool->lent_pairs() == others.size());
    for (const auto& pair : others)
        CHECK(f.pool->fd({pair.slot, ComponentKind::rtp}) >= 0);
}

TEST_CASE("some pairs are bound ahead of need, and idle ones are closed in time")
{
    auto limits = quick();
    limits.reserve_pairs = 5;
    limits.shrink_interval = Milliseconds{10};
    Fixture f({20000, 30000}, limits);
    std::vector<session::PortPair> pairs;
    for (int i = 0; i < 40; ++i)
        pairs.push_back(*f.acquire());
    CHECK(test::run_until(f.io, [&] { return f.pool->bound_pairs() == 45; }));
    for (const auto& pair : pairs)
        f.pool->release(pair);
    CHECK(test::run_until(f.io, [&] { return f.pool->bound_pairs() == 5; }));
    CHECK(f.pool->lent_pairs() == 0);
}

TEST_CASE("a pool leaves no descriptor behind")
{
    const std::size_t before = test::open_descriptors();
    {
        Fixture f({20000, 30000});
        std::vector<session::PortPair> pairs;
        for (int i = 0; i < 100; ++i)
            pairs.push_back(*f.acquire());
        for (std::size_t i = 0; i < 50; ++i)
            f.pool->release(pairs[i]);
        CHECK(test::open_descriptors() >= before + 200);
    }
    CHECK(test::open_descriptors() == before);
}

TEST_CASE("control addresses are known, also those on any address")
{
    const net::Address far = *net::Address::parse("192.0.2.7");
    Fixture f({20000, 30000}, quick(), {{far, 25060}, {net::Address::v4({0, 0, 0, 0}), 25061}});
    CHECK(f.pool->is_control({far, 25060}));
    CHECK_FALSE(f.pool->is_control({far, 25061}));
    CHECK(f.pool->is_control({f.address, 25061}));
    CHECK(f.pool->is_control({net::Address::v4({127, 0, 0, 1}), 25061}));
    CHECK_FALSE(f.pool->is_control({f.address, 25060}));
}

TEST_CASE("a relay_ip that cannot be bound is an error that names it")
{
    Options options;
    for (const char* address : {"192.0.2.1", "0.0.0.0", "224.0.0.1", "2001:db8::1"}) {
        options.relay_ip = {*net::Address::parse(address)};
        const auto addresses = LocalAddresses::create(options);
        REQUIRE_FALSE(addresses);
        CHECK(addresses.error().message.find(address) != std::string::npos);
    }
}

TEST_CASE("the address is that of the family, the advertised one is told")
{
    Options options;
    const net::Address bound = test::own_loopback(), told = *net::Address::parse("192.0.2.1");
    options.relay_ip = {bound};
    options.advertised_ip = {told};
    options.auto_detect_interfaces = true;
    auto addresses = LocalAddresses::create(options);
    REQUIRE(addresses);
    const auto local = addresses->choose(net::Family::v4, told, TimePoint{});
    REQUIRE(local);
    CHECK(local->bind == bound);
    CHECK(local->advertised == told);
    const auto other = addresses->choose(net::Family::v6, {}, TimePoint{});
    REQUIRE_FALSE(other);
    CHECK(other.error().code == Error::Code::unsupported);
}

TEST_CASE("with auto_detect_interfaces the address is the one that routes to the peer")
{
    Options options;
    options.relay_ip = {test::own_loopback()};
    options.auto_detect_interfaces = true;
    auto addresses = LocalAddresses::create(options);
    REQUIRE(addresses);
    // Linux answers a loopback address from the very same one.
    const net::Address here = net::Address::v4({127, 0, 0, 1});
    CHECK(addresses->choose(net::Family::v4, here, TimePoint{})->bind == here);
    CHECK(addresses->choose(net::Family::v4, here, TimePoint{})->advertised == here);
    INFO("nothing known of the peer");
    CHECK(addresses->choose(net::Family::v4, {}, TimePoint{})->bind == test::own_loopback());
}
