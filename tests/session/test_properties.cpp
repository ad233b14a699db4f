// SPDX-License-Identifier: GPL-2.0-or-later
#include <random>
#include <set>

#include "scene.hpp"

// Any sequence of messages, packets, readings, removes and time keeps the promises.

using namespace mediaproxy;
using namespace mediaproxy::session;

namespace
{

/// Whatever a seed says happens to a small relay, and the promises are looked at after each step.
class Chaos
{
public:
    explicit Chaos(std::uint32_t seed) : random_(seed), scene_(rules(seed)) {}

    void step()
    {
        const unsigned dice = pick(100);
        if (dice < 35)
            message();
        else if (dice < 85)
            packet();
        else if (dice < 90)
            readings();
        else if (dice < 94)
            remove();
        else if (dice < 96)
            scene_.ports.pairs_left = pick(3) ? 1000 : pick(4);
        else
            time_passes();
        check_promises();
    }

    void finish()
    {
        scene_.table.end_all(scene_.now);
        check_promises();
        CHECK(scene_.ports.live() == 0);
        CHECK(running_.empty());
        CHECK(scene_.table.session_count() == 0);
    }

    std::size_t answered = 0, refused = 0, expired = 0, installed = 0;

private:
    static Rules rules(std::uint32_t seed)
    {
        Rules rules;
        rules.stream_timeout = 20s;
        rules.on_hold_timeout = 60s;
        rules.answer_timeout = 30s;
        rules.idle_timeout = 10s;
        rules.max_session_duration = Seconds(seed % 3 ? 0 : 120);
        rules.allow_one_way = seed % 2;
        rules.accelerate_rtcp = seed % 5 < 2;
        return rules;
    }

    unsigned pick(unsigned below) { return std::uniform_int_distribution<>(0, below - 1)(random_); }
    template <class T, std::size_t N>
    const T& one_of(const T (&all)[N])
    {
        return all[pick(N)];
    }
    std::string call_id() { return "call" + std::to_string(pick(4)); }

    std::string media()
    {
        static const char* const types[] = {"audio", "audio", "audio", "video", "image"};
        static const char* const addresses[] = {"20.1.0.2", "20.1.0.2",    "20.2.0.2",
                                                "0.0.0.0",  "192.168.0.1", "2001:db8::a"};
        static const char* const directions[] = {"sendrecv", "sendrecv", "sendonly", "inactive"};
        std::string text;
        for (unsigned line = 0, lines = 1 + pick(3); line < lines; ++line) {
            text += line ? "," : "";
            text += one_of(types);
            const bool own = pick(20) == 0 && !scene_.ports.lent().empty();
            if (own)
                text += ":20.3.0.1:" +
                        std::to_string(scene_.ports.lent().begin()->second.pair.rtp.port);
            else
                text += std::string(":") + addresses[pick(pick(8) ? 3 : 6)] + ":" +
                        std::to_string(pick(8) ? 5000 + 2 * pick(3) : 0);
            text += std::string(":") + one_of(directions) + (pick(4) ? ":ice=no" : ":ice=yes");
        }
        return text;
    }

    void message()
    {
        static const char* const tags[] = {"A", "A", "A", "B", "B1"};
        Says says;
        says.call_id = call_id();
        says.from_tag = one_of(tags);
        if (says.from_tag != "A")
            says.to_tag = "A";
        else if (pick(2))
            says.to_tag = pick(3) ? "B" : "B1";
        says.cseq = 1 + pick(6);
        says.type = pick(2) ? protocol::MessageType::request : protocol::MessageType::reply;
        if (pick(12))
            says.media = media();
        const std::size_t sessions = scene_.table.session_count();
        const std::string before = snapshot();
        const auto got = scene_.update(says);
        if (!got) {
            ++refused;
            CHECK(snapshot() == before);
            CHECK(scene_.table.session_count() == sessions);
            return;
        }
        ++answered;
        check_reply(says, *got);
    }

    void check_reply(const Says& says, const protocol::Ports& ports)
    {
        const auto lines = std::count(says.media.begin(), says.media.end(), ',') + 1;
        if (!says.media.empty())
            CHECK(ports.rtp.size() == static_cast<std::size_t>(lines));
        const Session* session = scene_.table.find(says.call_id, says.from_tag);
        if (!session)
            session = scene_.table.find(says.call_id, says.to_tag);
        REQUIRE(session);
        const bool same = says.from_tag == session->from_tag();
        const bool request = says.type == protocol::MessageType::request;
        const Party facing = same == request ? Party::callee : Party::caller;
        std::set<net::Port> seen;
        for (const net::Port port : ports.rtp) {
            if (port == 0)
                continue;
            const SocketRole role = scene_.ports.role(port);
            REQUIRE(role.stream);
            CHECK(role.party == facing);
            CHECK(role.component == ComponentKind::rtp);
            CHECK(role.stream->family() == ports.address.family());
            CHECK(seen.insert(port).second);
        }
    }

    /// Everything that a refused message must leave alone.
    std::string snapshot()
    {
        std::string text;
        scene_.table.list(0, 1000, scene_.now, [&](OwnerId, const auto& report) {
            text += protocol::to_json(report) + "\n";
        });
        for (const auto& [slot, lent] : scene_.ports.lent())
            text += std::to_string(slot) + " ";
        return text + std::to_string(running_.size() - scene_.fast_path.uninstalled.size());
    }

    void packet()
    {
        if (scene_.ports.lent().empty())
            return;
        auto lent = scene_.ports.lent().begin();
        std::advance(lent, pick(static_cast<unsigned>(scene_.ports.lent().size())));
        SocketRole role = lent->second.role;
        role.component = pick(4) ? ComponentKind::rtp : ComponentKind::rtcp;
        const bool caller = role.party == Party::caller;
        net::Endpoint source = caller ? scene_.caller : scene_.callee;
        source.port = static_cast<net::Port>(source.port + pick(10) / 9);
        const auto data = pick(4) ? rtp_packet() : stun_packet();
        const Verdict verdict = scene_.table.on_packet(role, source, data, scene_.now.mono);
        if (verdict.action == Verdict::Action::forward) {
            const auto out = scene_.ports.lent().find(verdict.out_slot);
            REQUIRE(out != scene_.ports.lent().end());
            CHECK(out->second.role.stream == role.stream);
            CHECK(out->second.role.party == other(role.party));
            CHECK(verdict.to);
        }
        if (verdict.release_queue)
            CHECK_FALSE(scene_.table.take_queued(role).empty());
        if (verdict.install_ready)
            install(role);
    }

    void install(const SocketRole& role)
    {
        const auto plan = scene_.table.begin_flow(role);
        REQUIRE(plan);
        ++installed;
        CHECK(running_.emplace(plan->flow.id, 0).second);
        if (pick(5) == 0)
            abandon(plan->flow.id);
    }

    void abandon(FlowId id)
    {
        scene_.table.abandon_flow(id, scene_.reading(id, 0, 0, scene_.now.mono),
                                  scene_.now.mono + Seconds(10), scene_.now.mono);
        running_.erase(id);
    }

    void readings()
    {
        std::vector<mp_flow_reading> all;
        for (auto& [id, packets] : running_) {
            packets += pick(3) * 50;
            all.push_back(scene_.reading(id, packets, packets / 2, scene_.now.mono));
            scene_.fast_path.totals[id] = all.back();
        }
        scene_.table.on_readings(all, scene_.now.mono);
        if (!running_.empty() && pick(5) == 0)
            abandon(running_.begin()->first);
    }

    void remove()
    {
        static const char* const tags[] = {"A", "B", "B1", ""};
        const std::string id = call_id();
        const std::string to_tag = one_of(tags);
        const bool known = scene_.table.knows(id, "A") || scene_.table.knows(id, to_tag);
        CHECK(scene_.remove("A", to_tag, id).has_value() == known);
    }

    void time_passes()
    {
        scene_.advance(Milliseconds(pick(8000)));
        expired += scene_.table.expire(scene_.now).size();
        if (const auto next = scene_.table.next_deadline())
            CHECK(*next > scene_.now.mono);
    }

    void check_promises()
    {
        for (const FlowId id : scene_.fast_path.uninstalled)
            CHECK(running_.erase(id) == 1);
        scene_.fast_path.uninstalled.clear();

        std::set<const Stream*> alive;
        std::size_t flows = 0;
        for (unsigned number = 0; number < 4; ++number) {
            for (const char* tag : {"A", "B", "B1"}) {
                const Session* session = scene_.table.find("call" + std::to_string(number), tag);
                if (!session)
                    continue;
                for (const auto& stream : session->streams()) {
                    flows += stream->component(ComponentKind::rtp).flow() != 0;
                    flows += stream->component(ComponentKind::rtcp).flow() != 0;
                    if (stream->alive())
                        alive.insert(stream.get());
                }
            }
        }
        CHECK(flows == running_.size());
        CHECK(scene_.ports.live() == 2 * alive.size());
        CHECK(scene_.ports.acquired() - scene_.ports.released() == scene_.ports.live());
        for (const auto& [slot, lent] : scene_.ports.lent())
            CHECK(alive.count(lent.role.stream) == 1);
        std::uint64_t counted = 0;
        for (const auto& [type, count] : scene_.table.stream_count())
            counted += count;
        CHECK(counted == alive.size());
        CHECK(scene_.table.next_deadline().has_value() == (scene_.table.session_count() > 0));
        CHECK(scene_.table.total_bytes() >= bytes_);
        bytes_ = scene_.table.total_bytes();
    }

    std::mt19937 random_;
    Scene scene_;
    std::map<FlowId, std::uint64_t> running_; ///< packets that each flow has carried
    std::uint64_t bytes_ = 0;
};

} // namespace

TEST_CASE("any sequence of events keeps the promises")
{
    std::size_t answered = 0, refused = 0, expired = 0, installed = 0;
    for (std::uint32_t seed = 1; seed <= 30; ++seed) {
        INFO("seed " << seed);
        Chaos chaos(seed);
        for (int i = 0; i < 400; ++i)
            chaos.step();
        chaos.finish();
        answered += chaos.answered;
        refused += chaos.refused;
        expired += chaos.expired;
        installed += chaos.installed;
    }
    // The chaos must get somewhere.
    CHECK(answered > 2000);
    CHECK(refused > 200);
    CHECK(expired > 10);
    CHECK(installed > 100);
}
