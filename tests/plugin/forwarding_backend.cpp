// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <asio/io_context.hpp>
#include <asio/post.hpp>
#include <catch2/catch.hpp>
#include <cstring>
#include <stdexcept>
#include <thread>
#include <vector>

#include "fakes/log_lines.hpp"
#include "plugin/forwarding_backend.hpp"

using namespace mediaproxy;
using namespace mediaproxy::plugin;

namespace
{

/// A forwarding plugin that is linked in. One instance; what it does is set by the test.
struct FakePlugin {
    const mp_host* host = nullptr;
    const mp_flow_events* events = nullptr;
    std::vector<std::string> calls;
    mp_status status = MP_OK;
    bool throws = false;
};
FakePlugin fake;

mp_status answer(mp_error* error, const char* call)
{
    fake.calls.emplace_back(call);
    if (fake.throws)
        throw std::runtime_error("bang");
    std::strcpy(error->message, "no such luck");
    return fake.status;
}

mp_status create(const mp_host* host, const mp_flow_events* events, const mp_setting*,
                 std::uint32_t, void** instance, mp_error* error)
{
    fake.host = host;
    fake.events = events;
    *instance = &fake;
    return answer(error, "create");
}

mp_status adopt(void*, const mp_flow* const*, std::uint32_t, mp_status*, mp_flow_reading*,
                mp_error*)
{
    fake.calls.emplace_back("adopt");
    return MP_OK;
}

mp_status install(void*, const mp_flow* const* flows, std::uint32_t count, mp_status* each,
                  mp_error* error)
{
    if (!fake.throws) {
        for (std::uint32_t i = 0; i < count; ++i)
            each[i] = flows[i]->id == 13 ? MP_E_UNSUPPORTED : MP_OK;
    }
    return answer(error, "install");
}

mp_status replace(void*, const mp_flow*, mp_flow_reading* until_now, mp_error* error)
{
    until_now->from_caller.packets = 3;
    return answer(error, "replace");
}

mp_status remove(void*, const mp_flow_id*, std::uint32_t count, mp_flow_reading* finals,
                 mp_error* error)
{
    for (std::uint32_t i = 0; i < count && !fake.throws; ++i)
        finals[i].from_callee.packets = 100 + finals[i].id;
    return answer(error, "remove");
}

mp_status read(void*, std::uint64_t, mp_error* error)
{
    return answer(error, "read");
}

void destroy(void*, std::uint32_t mode)
{
    fake.calls.emplace_back(mode == MP_DESTROY_REMOVE ? "destroy" : "leave");
}

constexpr mp_forwarding vtable = {
    sizeof vtable, MP_FORWARDING_READS_SOCKETS, create, adopt, install, replace, remove, read,
    destroy,
};
constexpr mp_forwarding without_adopt = {
    sizeof without_adopt, 0, create, nullptr, install, replace, remove, read, destroy,
};

const char* const keys[] = {nullptr};

const mp_plugin fake_plugin = {
    MP_ABI_VERSION,
    sizeof(mp_plugin),
    "fake",
    "1",
    "in-process",
    keys,
    [](const char*) -> const void* { return &vtable; },
};
const mp_plugin bad_plugin = {
    MP_ABI_VERSION,
    sizeof(mp_plugin),
    "fake",
    "1",
    "in-process",
    keys,
    [](const char*) -> const void* { return &without_adopt; },
};

struct Events : ForwardingEvents {
    void on_lost(mp_flow_id id, std::uint32_t reason) override
    {
        seen.push_back("lost " + std::to_string(id) + " " + std::to_string(reason));
        if (on_first)
            std::exchange(on_first, nullptr)();
    }
    void on_stray(mp_flow_id id, std::uint32_t side, const mp_endpoint& from,
                  std::span<const std::byte> packet) override
    {
        ++strays;
        last_stray = std::to_string(id) + " " + std::to_string(side) + " " +
                     std::to_string(from.port) + " " +
                     std::string(reinterpret_cast<const char*>(packet.data()), packet.size());
    }
    void on_readings(std::uint64_t request, std::span<const mp_flow_reading> readings,
                     Piece piece) override
    {
        seen.push_back("readings " + std::to_string(request) + " x" +
                       std::to_string(readings.size()) + (piece == Piece::last ? " last" : ""));
        for (const mp_flow_reading& reading : readings)
            packets += reading.from_caller.packets;
    }
    std::vector<std::string> seen;
    std::function<void()> on_first;
    std::string last_stray;
    std::size_t strays = 0;
    std::uint64_t packets = 0;
};

struct Fixture {
    Fixture()
    {
        fake = FakePlugin{};
        source.name = "fake";
        source.host.log = lines.sink();
    }
    std::unique_ptr<ForwardingBackend> make()
    {
        auto made = ForwardingBackend::create(io, fake_plugin, source, events);
        REQUIRE(made);
        return *std::move(made);
    }
    asio::io_context io;
    Events events;
    fakes::LogLines lines;
    PluginSource source;
};

mp_flow flow(mp_flow_id id)
{
    mp_flow made{};
    made.struct_size = sizeof made;
    made.id = id;
    return made;
}

} // namespace

TEST_CASE("a forwarding back end lives in the order that its header promises")
{
    Fixture f;
    {
        const auto backend = f.make();
        CHECK(backend->reads_sockets());
        CHECK(backend->instance() == "forwarding.fake");
    }
    CHECK(fake.calls == std::vector<std::string>{"create", "adopt", "destroy"});
}

TEST_CASE(
    "a forwarding plugin whose create fails, throws or whose table lacks a function is refused")
{
    Fixture f;
    fake.status = MP_E_DENIED;
    const auto denied = ForwardingBackend::create(f.io, fake_plugin, f.source, f.events);
    REQUIRE_FALSE(denied);
    CHECK(denied.error().code == Error::Code::denied);
    CHECK(denied.error().message == "forwarding.fake: no such luck");
    fake.throws = true;
    const auto thrown = ForwardingBackend::create(f.io, fake_plugin, f.source, f.events);
    REQUIRE_FALSE(thrown);
    CHECK(thrown.error().message == "forwarding.fake: threw a C++ exception: bang");
    CHECK_FALSE(ForwardingBackend::create(f.io, bad_plugin, f.source, f.events));
    CHECK(fake.calls == std::vector<std::string>{"create", "create"});
}

TEST_CASE("an install says for each flow whether it is done")
{
    Fixture f;
    const auto backend = f.make();
    const std::array flows{flow(12), flow(13)};
    const std::array pointers{&flows[0], &flows[1]};
    std::array<mp_status, 2> each{};
    std::string why;

    backend->install(pointers, each, &why);
    CHECK(each == std::array<mp_status, 2>{MP_OK, MP_E_UNSUPPORTED});
    CHECK(why.empty());

    fake.throws = true;
    backend->install(pointers, each, &why);
    CHECK(each == std::array<mp_status, 2>{MP_E_FAILED, MP_E_FAILED});
    CHECK(why == "threw a C++ exception: bang");
}

TEST_CASE("removed flows are gone and leave their totals, or zeros")
{
    Fixture f;
    const auto backend = f.make();
    const std::array<mp_flow_id, 2> ids{5, 6};
    std::array<mp_flow_reading, 2> finals{};
    backend->remove(ids, finals);
    CHECK(finals[0].id == 5);
    CHECK(finals[1].from_callee.packets == 106);
    CHECK(finals[1].callee_seen_ms == -1);

    fake.throws = true;
    backend->remove(ids, finals);
    CHECK(finals[1].id == 6);
    CHECK(finals[1].from_callee.packets == 0);
    CHECK(f.lines.count("remove: threw a C++ exception: bang") == 1);
}

TEST_CASE("replace and read hand on why they failed")
{
    Fixture f;
    const auto backend = f.make();
    mp_flow_reading until_now{};
    CHECK(backend->replace(flow(1), until_now));
    CHECK(until_now.from_caller.packets == 3);
    CHECK(backend->read(1));
    fake.status = MP_E_AGAIN;
    CHECK(backend->replace(flow(1), until_now).error().message == "forwarding.fake: no such luck");
    CHECK(backend->read(1).error().code == Error::Code::unavailable);
}

TEST_CASE("reports from any thread arrive on the core thread, in one batch")
{
    Fixture f;
    const auto backend = f.make();
    std::thread([&] {
        const mp_endpoint from{4, 0, 4000, {127, 0, 0, 1}};
        const std::array<mp_flow_reading, 2> readings{mp_flow_reading{1, {10, 100}, {}, 0, 0},
                                                      mp_flow_reading{2, {20, 200}, {}, 0, 0}};
        fake.events->readings(fake.host, 77, readings.data(), 2, 0);
        fake.events->readings(fake.host, 77, nullptr, 0, 1);
        fake.events->lost(fake.host, 9, MP_FLOW_FAILED);
        fake.events->lost(fake.host, 9, MP_FLOW_FAILED);
        fake.events->stray(fake.host, 9, MP_SIDE_CALLEE, &from, "hello", 5);
    }).join();
    CHECK(f.events.seen.empty());
    CHECK(f.io.run() == 1);
    CHECK(f.events.seen ==
          std::vector<std::string>{"lost 9 1", "readings 77 x2", "readings 77 x0 last"});
    CHECK(f.events.packets == 30);
    CHECK(f.events.last_stray == "9 1 4000 hello");

    f.io.restart();
    fake.events->lost(fake.host, 9, MP_FLOW_DELETED);
    f.io.run();
    CHECK(f.events.seen.back() == "lost 9 0");
}

TEST_CASE("a long list of readings leaves room for others between its parts")
{
    Fixture f;
    const auto backend = f.make();
    constexpr std::size_t many = 2 * ReportQueue::readings_a_turn + 1;
    const std::vector<mp_flow_reading> readings(many, mp_flow_reading{1, {1, 100}, {}, 0, 0});
    fake.events->readings(fake.host, 5, readings.data(), many, 1);
    asio::post(f.io, [&] {
        f.events.seen.push_back("another");
        fake.events->lost(fake.host, 9, MP_FLOW_FAILED);
    });
    f.io.run();
    const std::string part = "readings 5 x" + std::to_string(ReportQueue::readings_a_turn);
    CHECK(f.events.seen ==
          std::vector<std::string>{part, "another", part, "readings 5 x1 last", "lost 9 1"});
    CHECK(f.events.packets == many);
}

TEST_CASE("when all flows are lost at once, others have their turn in between")
{
    Fixture f;
    const auto backend = f.make();
    constexpr std::size_t many = 2 * ReportQueue::lost_a_turn + 1;
    for (std::size_t id = 1; id <= many; ++id)
        fake.events->lost(fake.host, id, MP_FLOW_FAILED);
    const mp_endpoint from{4, 0, 4000, {127, 0, 0, 1}};
    fake.events->stray(fake.host, 1, MP_SIDE_CALLER, &from, "x", 1);
    asio::post(f.io, [&] { f.events.seen.push_back("another"); });
    f.io.run();
    const auto place_of = [&](const std::string& what) {
        const auto& seen = f.events.seen;
        return static_cast<std::size_t>(std::find(seen.begin(), seen.end(), what) - seen.begin());
    };
    CHECK(place_of("lost " + std::to_string(ReportQueue::lost_a_turn) + " 1") <
          place_of("another"));
    CHECK(place_of("lost " + std::to_string(ReportQueue::lost_a_turn + 1) + " 1") >
          place_of("another"));
    CHECK(place_of("lost " + std::to_string(many) + " 1") == f.events.seen.size() - 1);
    CHECK(f.events.strays == 1);
}

TEST_CASE("strays that come faster than they are taken are dropped and counted")
{
    Fixture f;
    const auto backend = f.make();
    const mp_endpoint from{4, 0, 4000, {127, 0, 0, 1}};
    for (std::size_t i = 0; i < ReportQueue::most_strays + 10; ++i)
        fake.events->stray(fake.host, 1, MP_SIDE_CALLER, &from, "x", 1);
    f.io.run();
    CHECK(f.events.strays == ReportQueue::most_strays);
    CHECK(backend->strays_dropped() == 10);

    const std::string big(60000, 'x');
    for (int i = 0; i < 100; ++i)
        fake.events->stray(fake.host, 1, MP_SIDE_CALLER, &from, big.data(), 60000);
    CHECK(backend->strays_dropped() == 10 + 100 - ReportQueue::most_stray_bytes / 60000);
}

TEST_CASE("nothing is reported once the back end is gone, not even the rest of a batch")
{
    Fixture f;
    auto backend = f.make();
    fake.events->lost(fake.host, 1, MP_FLOW_DELETED);
    fake.events->lost(fake.host, 2, MP_FLOW_DELETED);
    f.events.on_first = [&] { backend.reset(); };
    f.io.run();
    CHECK(f.events.seen == std::vector<std::string>{"lost 1 0"});

    backend = f.make();
    fake.events->lost(fake.host, 3, MP_FLOW_DELETED);
    backend.reset();
    f.io.restart();
    f.io.run();
    CHECK(f.events.seen.size() == 1);
}
