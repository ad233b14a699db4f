// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <rapidjson/document.h>
#include <rapidjson/istreamwrapper.h>

#include "scene.hpp"

// The 28 message sequences of rounds.json, each with the right answer to each message.

using namespace mediaproxy;
using namespace mediaproxy::session;

namespace
{

const rapidjson::Document& rounds()
{
    static const rapidjson::Document document = [] {
        std::ifstream file(TEST_DATA "/rounds.json");
        rapidjson::IStreamWrapper stream(file);
        rapidjson::Document parsed;
        parsed.ParseStream(stream);
        return parsed;
    }();
    return document;
}

std::string address_of(std::string_view name)
{
    static const std::map<std::string_view, std::string> addresses = {
        {"a", "20.1.0.2"}, {"b", "20.2.0.2"}, {"b2", "20.2.0.3"}, {"relay", "20.3.0.1"}};
    const auto found = addresses.find(name);
    return found == addresses.end() ? std::string(name) : found->second;
}

Says read_message(const rapidjson::Value& message)
{
    Says says;
    const bool request = std::string_view(message["type"].GetString()) == "request";
    says.type = request ? protocol::MessageType::request : protocol::MessageType::reply;
    says.cseq = message["cseq"].GetUint();
    says.from_tag = message["from_tag"].GetString();
    says.to_tag = message["to_tag"].GetString();
    if (!message["media"].IsArray())
        return says;
    for (const auto& line : message["media"].GetArray()) {
        if (!says.media.empty())
            says.media += ",";
        says.media += std::string(line["type"].GetString()) + ":" +
                      address_of(line["address"].GetString()) + ":" +
                      std::to_string(line["port"].GetUint()) + ":" + line["direction"].GetString() +
                      ":ice=no";
    }
    return says;
}

const char* name_of(MessageRole role)
{
    switch (role) {
    case MessageRole::none:
        return "none";
    case MessageRole::no_media:
        return "no media";
    case MessageRole::offer:
        return "offer";
    case MessageRole::answer:
        return "answer";
    case MessageRole::again:
        return "again";
    case MessageRole::old:
        return "old";
    }
    return "";
}

void check_reply(const rapidjson::Value& expected, const protocol::Ports& got, Scene& scene)
{
    CHECK(got.address == scene.ports.ipv4);
    if (expected.IsString()) // "as they are"
        return;
    REQUIRE(got.rtp.size() == expected.Size());
    for (rapidjson::SizeType i = 0; i < expected.Size(); ++i) {
        INFO("place " << i);
        if (expected[i].IsInt()) {
            CHECK(got.rtp[i] == expected[i].GetInt());
            continue;
        }
        const auto* lent = scene.ports.behind(got.rtp[i]);
        REQUIRE(lent);
        CHECK(lent->stream == expected[i]["stream"].GetUint());
        const bool caller = std::string_view(expected[i]["port facing"].GetString()) == "caller";
        CHECK(lent->role.party == (caller ? Party::caller : Party::callee));
    }
}

std::string state_of(Scene& scene, std::size_t number)
{
    for (const auto& stream : scene.session("rounds").streams()) {
        const auto port = stream->ports(Party::caller).pair().rtp.port;
        if (scene.ports.behind(port)->stream != number)
            continue;
        switch (stream->standing()) {
        case Stream::Standing::proposed:
            return "proposed";
        case Stream::Standing::early:
        case Stream::Standing::confirmed:
            return "active";
        case Stream::Standing::ended:
            return stream->end_reason() == Stream::End::closed ? "closed" : "rejected";
        }
    }
    return number <= scene.ports.streams_made() ? "ended-silently" : "never made";
}

} // namespace

TEST_CASE("each message of rounds.json gets the right answer")
{
    REQUIRE(rounds().IsObject());
    REQUIRE(rounds()["scenarios"].Size() == 28);
    for (const auto& scenario : rounds()["scenarios"].GetArray()) {
        DYNAMIC_SECTION(scenario["scenario"].GetString())
        {
            Scene scene;
            std::size_t number = 0;
            for (const auto& message : scenario["messages"].GetArray()) {
                INFO("message " << ++number);
                Says says = read_message(message);
                says.call_id = "rounds";
                const auto got = scene.update(says);
                REQUIRE(got);
                check_reply(message["reply"], *got, scene);
                CHECK(std::string(name_of(scene.session("rounds").last_role())) ==
                      message["is"].GetString());
                scene.advance(100ms);
            }
            std::size_t streams = 0;
            for (const auto& stream : scenario["streams_at_end"].GetObject()) {
                ++streams;
                INFO("stream " << stream.name.GetString());
                CHECK(state_of(scene, std::stoul(stream.name.GetString())) ==
                      stream.value["state"].GetString());
            }
            CHECK(scene.ports.streams_made() == streams);
        }
    }
}
