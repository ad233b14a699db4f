// SPDX-License-Identifier: GPL-2.0-or-later
// Updates, removes, packets and time in any order: the bytes are a script. What must hold whatever
// comes: nothing crashes, an answer has a port for each line, and at the end every port is back.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string_view>

#include "fakes/fake_fast_path.hpp"
#include "fakes/fake_ports.hpp"
#include "session/session_table.hpp"

using namespace mediaproxy;

namespace
{

/// Hands out the script's bytes; zeros when it is over.
class Script
{
public:
    explicit Script(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}
    bool over() const { return bytes_.empty(); }
    std::uint8_t byte()
    {
        if (bytes_.empty())
            return 0;
        const std::uint8_t first = bytes_.front();
        bytes_ = bytes_.subspan(1);
        return first;
    }
    template <std::size_t N>
    std::string_view choose(const std::string_view (&words)[N])
    {
        return words[byte() % N];
    }
    std::span<const std::byte> datagram()
    {
        const std::size_t size = std::min<std::size_t>(byte(), bytes_.size());
        const auto data = std::as_bytes(bytes_.first(size));
        bytes_ = bytes_.subspan(size);
        return data;
    }

private:
    std::span<const std::uint8_t> bytes_;
};

constexpr std::string_view calls[] = {"c1", "c2"};
constexpr std::string_view tags[] = {"A", "B", "", "B2"};
constexpr std::string_view types[] = {"audio", "video", "image"};
constexpr std::string_view addresses[] = {"20.1.0.2",    "20.2.0.2", "20.3.0.1",    "0.0.0.0",
                                          "192.168.1.1", "::",       "2001:db8::1", "224.0.0.1"};

net::Endpoint endpoint(Script& script)
{
    const auto address = net::Address::parse(script.choose(addresses));
    const std::uint8_t port = script.byte();
    // Small numbers meet the ports of the fake source.
    return {*address, static_cast<net::Port>(port < 64 ? 40000 + port : port)};
}

void update(Script& script, session::SessionTable& table, const Now& now)
{
    protocol::Update update;
    const std::uint8_t shape = script.byte();
    update.type = shape & 1 ? protocol::MessageType::reply : protocol::MessageType::request;
    update.has_media = (shape & 2) == 0;
    update.cseq = shape >> 4;
    update.call_id = script.choose(calls);
    update.from_tag = script.choose(tags);
    update.to_tag = script.choose(tags);
    update.from_uri = update.to_uri = "x@example.com";
    if (update.from_tag.empty())
        return;
    for (int lines = update.has_media ? (shape >> 2) & 3 : 0; lines >= 0 && update.has_media;
         --lines) {
        protocol::MediaLine line;
        line.type = script.choose(types);
        line.address = endpoint(script);
        const std::uint8_t rest = script.byte();
        line.direction = static_cast<protocol::Direction>(rest & 3);
        line.ice = (rest & 4) != 0;
        if (rest & 8)
            line.address.port = 0;
        update.media.push_back(line);
    }
    const auto ports = table.update(update, 1, now);
    if (ports && update.has_media && ports->rtp.size() != update.media.size())
        std::abort();
}

void packet(Script& script, session::SessionTable& table, const fakes::FakePorts& ports,
            const Now& now)
{
    if (ports.lent().empty())
        return;
    auto lent = ports.lent().begin();
    std::advance(lent, script.byte() % ports.lent().size());
    session::SocketRole role = lent->second.role;
    if (script.byte() & 1)
        role.component = session::ComponentKind::rtcp;
    const auto source = endpoint(script);
    const auto verdict = table.on_packet(role, source, script.datagram(), now.mono);
    if (verdict.action == session::Verdict::Action::forward && !verdict.to)
        std::abort();
    if (verdict.release_queue)
        (void)table.take_queued(role);
    if (!verdict.install_ready)
        return;
    const auto plan = table.begin_flow(role);
    if (plan && (script.byte() & 1))
        table.abandon_flow(plan->flow.id, mp_flow_reading{}, now.mono, now.mono);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    Script script({data, size});
    fakes::FakePorts ports;
    fakes::FakeFastPath fast_path;
    ports.pairs_left = 24;
    Now now{TimePoint{} + Seconds(1000), WallTime{} + Seconds(1700000000)};
    {
        session::SessionTable table(session::Rules{}, ports, fast_path, 1);
        while (!script.over()) {
            const std::uint8_t step = script.byte();
            if (step < 110)
                update(script, table, now);
            else if (step < 220)
                packet(script, table, ports, now);
            else if (step < 235)
                (void)table.remove({script.choose(calls), script.choose(tags), script.choose(tags)},
                                   now);
            else
                now.mono += Seconds(script.byte());
            (void)table.expire(now);
        }
        (void)table.end_all(now);
        if (table.session_count() != 0 || ports.live() != 0)
            std::abort();
    }
    return 0;
}
