// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <catch2/catch.hpp>
#include <string>
#include <utility>

#include "protocol/session_report.hpp"
#include "stage.hpp"

inline std::string json_of(const std::string& call_id, const std::string& record_id = "",
                           const std::string& owner = "")
{
    mediaproxy::protocol::SessionReport report = FakePeer::report(call_id, "ftag");
    report.record_id = record_id;
    report.owner = owner;
    return mediaproxy::protocol::to_json(report);
}

/// The other end of a relay's link, line by line.
struct Relay : Client {
    explicit Relay(Stage& stage)
        : Client(Client::to_port(stage.io, stage.dispatcher->relay_endpoints().at(0).port))
    {
    }
    /// As MediaProxy 4: nothing is said before the first question.
    static Relay old(Stage& stage, const std::string& sessions = "[]")
    {
        Relay relay(stage);
        CHECK(relay.request() == "sessions 0\r\n\r\n");
        relay.say("0 " + sessions);
        relay.settle(stage);
        return relay;
    }
    static std::string hello(const std::string& name, const std::string& instance = "",
                             const std::string& run = "")
    {
        return "hello {\"name\": \"" + name + "\", \"instance\": \"" + instance +
               "\", \"run\": \"" + run +
               "\", \"version\": \"9\", \"addresses\": [\"198.51.100.7\"], \"families\": [4, 6]}";
    }
    /// As one of ours, up to its first page.
    static Relay ours(Stage& stage, const std::string& name, const std::string& page = "[]",
                      const std::string& instance = "", const std::string& run = "")
    {
        Relay relay(stage);
        relay.say(hello(name, instance, run));
        CHECK(relay.request() == "sessions 0\r\n\r\n");
        CHECK(relay.request() ==
              "hello 1\r\nname: dispatcher-1\r\nversion: 1.2.3\r\n"
              "features: sessions-pages,acknowledge,owners,keep-removed\r\n\r\n");
        relay.say("0 " + page);
        relay.say("1 {\"name\": \"" + name + "\"}");
        CHECK(relay.request() == "sessions 2\r\nafter: 0\r\nmost: 250\r\n\r\n");
        relay.say("2 {\"sessions\": " + page + ", \"next\": 0}");
        relay.settle(stage);
        return relay;
    }
    std::string request() { return until("\r\n\r\n"); }
    void say(const std::string& line) { send(line + "\r\n"); }
    /// Waits until the dispatcher has read what was said: it answers a ping in its turn.
    void settle(Stage&)
    {
        say("ping");
        CHECK(line() == "pong");
    }
};
