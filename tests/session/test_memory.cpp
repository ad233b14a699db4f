// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>
#include <cstdlib>
#include <malloc.h>
#include <new>

#include "scene.hpp"

// What sessions cost. This program counts every allocation, so it stands alone.

namespace
{

std::size_t allocations = 0;
std::size_t live_bytes = 0;

constexpr std::size_t heap_overhead = 8; // glibc: the size word in front of each block

void* counted(std::size_t size)
{
    void* const memory = std::malloc(size);
    if (!memory)
        throw std::bad_alloc();
    ++allocations;
    live_bytes += malloc_usable_size(memory) + heap_overhead;
    return memory;
}

void release(void* memory) noexcept
{
    if (memory)
        live_bytes -= malloc_usable_size(memory) + heap_overhead;
    std::free(memory);
}

} // namespace

void* operator new(std::size_t size)
{
    return counted(size);
}
void* operator new[](std::size_t size)
{
    return counted(size);
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept
{
    return counted(size);
}
void operator delete(void* memory) noexcept
{
    release(memory);
}
void operator delete[](void* memory) noexcept
{
    release(memory);
}
void operator delete(void* memory, std::size_t) noexcept
{
    release(memory);
}
void operator delete[](void* memory, std::size_t) noexcept
{
    release(memory);
}

using namespace mediaproxy;
using namespace mediaproxy::session;

namespace
{

// A sanitizer's allocator takes minutes for what takes a second without.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr unsigned cycles = 10000;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr unsigned cycles = 10000;
#else
constexpr unsigned cycles = 100000;
#endif
#else
constexpr unsigned cycles = 100000;
#endif

/// Lends ports out of nothing, and allocates nothing.
class CountingPorts : public PortSource
{
public:
    std::size_t live = 0;

    Result<LocalAddress> local_address(net::Family, const net::Address&) override
    {
        return LocalAddress{net::Address::v4({20, 3, 0, 1}), net::Address::v4({20, 3, 0, 1})};
    }
    Result<PortPair> acquire(const LocalAddress& local, Stream& owner, Party party) override
    {
        ++live;
        (party == Party::caller ? caller_role : callee_role) = {&owner, party, ComponentKind::rtp};
        return PortPair{next_, {local.bind, static_cast<net::Port>(2 * (next_++ % 20000))}, {}};
    }
    void release(const PortPair&) noexcept override { --live; }
    SocketRole lent_at(const net::Endpoint&) const noexcept override { return {}; }
    bool is_control(const net::Endpoint&) const noexcept override { return false; }

    SocketRole caller_role, callee_role; ///< of the newest stream

private:
    std::uint32_t next_ = 0;
};

/// The messages of calls as a busy proxy sends them: lengths as in real life.
struct BusyProxy {
    std::string call_id = "a84b4c76e66710-0000000@pc33.atlanta.example.com";
    std::string media_a = "audio:20.1.0.2:5000:sendrecv:ice=no";
    std::string media_b = "audio:20.2.0.2:6000:sendrecv:ice=no";
    protocol::MediaLines offered = *protocol::parse_media(media_a);
    protocol::MediaLines answered = *protocol::parse_media(media_b);
    Now now{TimePoint(1000s), WallTime(Seconds(1700000000))};

    void name(unsigned number)
    {
        const std::string digits = std::to_string(10000000 + number).substr(1);
        call_id.replace(15, 7, digits);
    }
    protocol::Update message(protocol::MessageType type) const
    {
        protocol::Update update;
        const bool request = type == protocol::MessageType::request;
        update.type = type;
        update.has_media = true;
        update.cseq = 102;
        update.call_id = call_id;
        update.from_tag = "1928301774-8c7be2f1";
        update.to_tag = request ? std::string_view() : std::string_view("a6c85cf-77120038fb1");
        update.from_uri = "alice.from.atlanta@atlanta.example.com";
        update.to_uri = "+431234567890@biloxi.example.com";
        update.user_agent = "Grandstream GXP2170 1.0.11.35";
        update.signaling.source = net::Address::v4({20, 1, 0, 2});
        update.media = request ? offered : answered;
        return update;
    }
    bool set_up(SessionTable& table) const
    {
        return table.update(message(protocol::MessageType::request), 1, now).has_value() &&
               table.update(message(protocol::MessageType::reply), 1, now).has_value();
    }
    protocol::Remove remove() const { return {call_id, "1928301774-8c7be2f1", {}}; }
};

} // namespace

TEST_CASE("a session of one stream costs at most 2.5 kB of heap")
{
    CountingPorts ports;
    fakes::FakeFastPath fast_path;
    SessionTable table(Rules{}, ports, fast_path, 1);
    BusyProxy proxy;
    constexpr unsigned count = 5000;
    const std::size_t before = live_bytes;
    bool good = true;
    for (unsigned number = 0; number < count; ++number) {
        proxy.name(number);
        good &= proxy.set_up(table);
    }
    CHECK(good);
    const std::size_t each = (live_bytes - before) / count;
    CAPTURE(each, sizeof(Session), sizeof(Stream));
    CHECK(each <= 2500);
}

TEST_CASE("a hundred thousand calls leave nothing behind")
{
    CountingPorts ports;
    fakes::FakeFastPath fast_path;
    SessionTable table(Rules{}, ports, fast_path, 1);
    BusyProxy proxy;
    std::size_t after_warm_up = 0;
    bool good = true;
    for (unsigned number = 0; number < cycles; ++number) {
        proxy.name(number);
        good &= proxy.set_up(table) && table.remove(proxy.remove(), proxy.now).has_value();
        if (number == 1000)
            after_warm_up = live_bytes;
    }
    CHECK(good);
    CHECK(live_bytes <= after_warm_up);
    CHECK(ports.live == 0);
    CHECK(table.session_count() == 0);
    CHECK_FALSE(table.next_deadline());
    CHECK(table.stream_count().empty());
}

TEST_CASE("a packet allocates nothing")
{
    CountingPorts ports;
    fakes::FakeFastPath fast_path;
    SessionTable table(Rules{}, ports, fast_path, 1);
    BusyProxy proxy;
    REQUIRE(proxy.set_up(table));
    const auto packet = rtp_packet();
    const net::Endpoint caller = endpoint("20.1.0.2", 5000), callee = endpoint("20.2.0.2", 6000);
    const std::size_t before = allocations;
    for (int i = 0; i < 1000; ++i) {
        table.on_packet(ports.caller_role, caller, packet, proxy.now.mono);
        table.on_packet(ports.callee_role, callee, packet, proxy.now.mono);
        table.on_packet(ports.callee_role, caller, packet, proxy.now.mono);
    }
    CHECK(allocations == before);
}
