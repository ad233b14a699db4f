// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <map>

#include "scripted_relay.hpp"

// One record for each call, whoever dies when: relays of ours keep theirs until we acknowledge.

using namespace mediaproxy;

namespace
{

/// A relay of ours that answers what it is asked from what the test says that it has.
struct Keeper {
    Keeper(Stage& on, std::string called) : stage(on), name(std::move(called)) { connect(); }

    void connect()
    {
        link.emplace(stage);
        asked.clear();
        link->say("hello {\"name\": \"" + name + "\", \"features\": [" +
                  (keeps ? "\"keep-removed\"" : "") + "]}");
    }
    /// kill -9, or a cut link: what it has in `letters` it still has.
    void hang_up() { link.reset(); }

    /// Answers one request, if there is one.
    void poll()
    {
        if (!link)
            return;
        link->poll();
        for (std::size_t end;
             link && (end = link->received().find("\r\n\r\n")) != std::string::npos;)
            answer(link->until("\r\n\r\n"));
    }
    template <class Done>
    bool until(Done done)
    {
        return stage.run_until([&] {
            poll();
            return done();
        });
    }
    bool was_asked(const std::string& command)
    {
        return until([&] { return asked[command] > 0; });
    }

    void answer(const std::string& request)
    {
        const std::string command = request.substr(0, request.find(' '));
        const std::size_t blank = command.size() + 1;
        const std::string seq = request.substr(blank, request.find('\r') - blank);
        ++asked[command];
        if (command == "hello") {
            for (const std::string& letter : letters)
                link->say("expired " + letter);
            link->say(seq + " {\"name\": \"" + name + "\"}");
        } else if (command == "sessions") {
            link->say(seq + (request.find("most: ") == std::string::npos
                                 ? " []"
                                 : " {\"sessions\": [" + listed + "], \"next\": 0}"));
        } else if (command == "letters") {
            link->say(seq + " " + std::to_string(unsent));
        } else if (command == "update") {
            link->say(seq + " 20.3.0.1 40002");
        } else if (command == "remove" && !silent) {
            link->say(seq + " " + removed);
        } else if (command == "acknowledge") {
            const std::size_t begin = request.find("record_id: ") + 11;
            acknowledged.push_back(request.substr(begin, request.find('\r', begin) - begin));
            if (hears)
                link->say(seq + " acknowledged");
        }
    }

    Stage& stage;
    std::string name, listed, removed = "error";
    std::vector<std::string> letters, acknowledged;
    int unsent = 0;
    bool keeps = true, silent = false, hears = true;
    std::optional<Relay> link;
    std::map<std::string, int> asked;
};

/// Stage, relay and an answered call that the store knows of.
struct Scene {
    explicit Scene(dispatcher::Options options = Stage::quick()) : stage(std::move(options))
    {
        REQUIRE(relay.was_asked("letters")); // it is known: calls may come
        REQUIRE(ask(Message{}.text()) != "error");
        REQUIRE(ask(Message{.type = "reply", .to_tag = "ttag"}.text()) != "error");
        relay.asked.clear();
        REQUIRE(relay.until([&] { return stage.store.tables["sessions"].size() == 1; }));
    }
    std::string ask(const std::string& text)
    {
        Client proxy = stage.proxy();
        proxy.send(text);
        std::string line;
        REQUIRE(relay.until([&] {
            proxy.poll();
            return proxy.received().find("\r\n") != std::string::npos;
        }));
        return proxy.line();
    }
    void kill_dispatcher()
    {
        relay.hang_up();
        stage.dispatcher.reset();
        stage.io.poll();
        stage.start();
    }
    bool acknowledges(const std::string& record_id)
    {
        return relay.until([&] {
            return std::find(relay.acknowledged.begin(), relay.acknowledged.end(), record_id) !=
                   relay.acknowledged.end();
        });
    }
    /// Everything that the sink was given is durable now.
    void commit()
    {
        REQUIRE_FALSE(stage.sink.waiting.empty());
        for (const auto& durable : std::exchange(stage.sink.waiting, {}))
            durable();
    }
    const std::vector<protocol::SessionReport>& records() { return stage.sink.records; }

    Stage stage;
    Keeper relay{stage, "r"};
};

/// What is done from time to time is done twice a second.
dispatcher::Options with_quick_chores()
{
    auto options = Stage::quick();
    options.cleanup_expired_sessions_after = Seconds{2};
    return options;
}

std::string removed_letter(const std::string& call_id, const std::string& record_id)
{
    std::string json = json_of(call_id, record_id);
    json.back() = ',';
    return json + " \"timed_out\": false}";
}

std::string lost_letter(const std::string& call_id, const std::string& record_id)
{
    protocol::SessionReport report = FakePeer::report(call_id, "ftag");
    report.record_id = record_id;
    report.lost = true;
    report.duration = 5;
    return protocol::to_json(report);
}

} // namespace

TEST_CASE("the answer to a removal is acknowledged when its record is durable")
{
    Scene scene;
    scene.stage.sink.at_once = false;
    scene.relay.removed = json_of("call-1", "id-1");
    CHECK(scene.ask(remove_text()) == "removed");
    REQUIRE(scene.records().size() == 1);
    CHECK(scene.records()[0].record_id == "id-1");
    CHECK(scene.relay.acknowledged.empty());
    scene.commit();
    CHECK(scene.acknowledges("id-1"));
    INFO("and then forgotten: there are too many of them");
    CHECK(scene.stage.store.tables["records"].empty());
}

TEST_CASE("what becomes durable together is acknowledged together")
{
    Scene scene;
    scene.stage.sink.at_once = false;
    scene.relay.link->say("expired " + json_of("a", "id-a"));
    scene.relay.link->say("expired " + json_of("b", "id-b"));
    REQUIRE(scene.relay.until([&] { return scene.stage.sink.waiting.size() == 2; }));
    scene.commit();
    CHECK(scene.acknowledges("id-a id-b"));
}

TEST_CASE("a remove that may name only another fork waits for its relay, and the call with it")
{
    Scene scene;
    protocol::SessionReport report = FakePeer::report("call-1", "ftag");
    report.record_id = "id-1";
    const std::string ended = protocol::to_json(report);
    report.streams[0].status = "active";
    const std::string living = protocol::to_json(report);
    scene.relay.hang_up();
    REQUIRE(scene.stage.run_until(
        [&] { return scene.stage.dispatcher->status().starts_with("0 relays"); }));
    CHECK(scene.ask(remove_text("call-1", "ftag", "fork-2")) == "removed");
    CHECK(scene.stage.dispatcher->session_count() == 1);
    if (GENERATE(false, true))
        scene.kill_dispatcher();

    SECTION("it goes on")
    {
        scene.relay.listed = scene.relay.removed = living;
        scene.relay.connect();
        REQUIRE(scene.relay.until([&] { return scene.stage.store.tables["removals"].empty(); }));
        CHECK(scene.relay.asked["remove"] == 1);
        CHECK(scene.records().empty());
        CHECK(scene.ask(Message{.cseq = "2", .to_tag = "ttag"}.text()) != "error");
        scene.relay.removed = ended;
        CHECK(scene.ask(remove_text()) == "removed");
    }
    SECTION("that tag was the call's after all")
    {
        scene.relay.listed = living;
        scene.relay.removed = ended;
        scene.relay.connect();
    }
    SECTION("its record comes by itself")
    {
        scene.relay.letters = {removed_letter("call-1", "id-1")};
        scene.relay.connect();
    }
    SECTION("the relay has lost it")
    {
        scene.relay.connect();
    }
    REQUIRE(scene.relay.until([&] { return scene.records().size() == 1; }));
    CHECK(scene.records()[0].timed_out == false);
    CHECK(scene.stage.dispatcher->session_count() == 0);
    REQUIRE(scene.relay.until([&] { return scene.stage.store.tables["removals"].empty(); }));
}

TEST_CASE("a dispatcher that stops acknowledges first what is durable")
{
    Scene scene;
    scene.stage.sink.at_once = false;
    scene.relay.link->say("expired " + json_of("a", "id-a"));
    REQUIRE(scene.relay.until([&] { return scene.stage.sink.waiting.size() == 1; }));
    scene.commit();
    bool stopped = false;
    scene.stage.dispatcher->stop([&] { stopped = true; });
    CHECK(scene.acknowledges("id-a"));
    CHECK(scene.relay.until([&] { return stopped; }));
}

TEST_CASE("the link is cut between the answer to a removal and the acknowledgement")
{
    Scene scene;
    scene.stage.sink.at_once = false;
    scene.relay.removed = json_of("call-1", "id-1");
    CHECK(scene.ask(remove_text()) == "removed");
    scene.relay.letters = {removed_letter("call-1", "id-1")};

    SECTION("before the record is durable")
    {
        scene.relay.hang_up();
        scene.relay.connect();
        REQUIRE(scene.relay.was_asked("letters"));
        INFO("what is durable then is acknowledged alone");
        scene.stage.sink.at_once = true;
        scene.relay.link->say("expired " + json_of("call-2", "id-2"));
        CHECK(scene.acknowledges("id-2"));
        scene.commit();
        CHECK(scene.acknowledges("id-1"));
    }
    SECTION("after it, and nobody heard the acknowledgement")
    {
        scene.relay.hears = false;
        scene.commit();
        REQUIRE(scene.acknowledges("id-1"));
        scene.relay.hang_up();
        scene.relay.acknowledged.clear();
        scene.relay.connect();
        CHECK(scene.acknowledges("id-1"));
    }
    SECTION("while the relay is away the record becomes durable")
    {
        scene.relay.hang_up();
        REQUIRE(scene.stage.run_until(
            [&] { return scene.stage.dispatcher->status().starts_with("0 relays"); }));
        scene.commit();
        REQUIRE(
            scene.stage.run_until([&] { return scene.stage.store.tables["records"].size() == 1; }));
        scene.relay.connect();
        CHECK(scene.acknowledges("id-1"));
    }
    CHECK(std::count_if(scene.records().begin(), scene.records().end(),
                        [](const auto& record) { return record.record_id == "id-1"; }) == 1);
}

TEST_CASE("the link is cut between a removal and its answer")
{
    Scene scene;
    scene.relay.silent = true;
    Client proxy = scene.stage.proxy();
    proxy.send(remove_text());
    REQUIRE(scene.relay.was_asked("remove"));
    scene.relay.hang_up();
    CHECK(proxy.line() == "removed");
    scene.relay.silent = false;

    SECTION("the relay had done it: its record comes first")
    {
        scene.relay.letters = {removed_letter("call-1", "id-1")};
        scene.relay.connect();
        CHECK(scene.acknowledges("id-1"));
        REQUIRE(scene.relay.was_asked("letters"));
        REQUIRE(scene.records().size() == 1);
        CHECK_FALSE(scene.records()[0].lost);
    }
    SECTION("the same, and the record has to wait for its turn")
    {
        scene.relay.unsent = 1;
        scene.relay.connect();
        REQUIRE(scene.relay.was_asked("letters"));
        CHECK(scene.records().empty());
        scene.relay.link->say("expired " + removed_letter("call-1", "id-1"));
        scene.relay.unsent = 0;
        CHECK(scene.acknowledges("id-1"));
        REQUIRE(scene.relay.until([&] { return scene.relay.asked["letters"] == 2; }));
        REQUIRE(scene.records().size() == 1);
        CHECK_FALSE(scene.records()[0].lost);
    }
    SECTION("it was killed: the copy of the call comes")
    {
        scene.relay.letters = {lost_letter("call-1", "id-1")};
        scene.relay.connect();
        CHECK(scene.acknowledges("id-1"));
        REQUIRE(scene.records().size() == 1);
        CHECK(scene.records()[0].lost);
        CHECK(scene.records()[0].duration == 5);
    }
    SECTION("it had not done it yet")
    {
        scene.relay.listed = json_of("call-1", "id-1", "dispatcher-1");
        scene.relay.removed = json_of("call-1", "id-1");
        scene.relay.connect();
        CHECK(scene.acknowledges("id-1"));
    }
    SECTION("it knows nothing any more")
    {
        scene.relay.connect();
        REQUIRE(scene.relay.until([&] { return scene.records().size() == 1; }));
        CHECK(scene.records()[0].lost);
    }
    CHECK(scene.stage.run_until([&] { return scene.stage.store.tables["removals"].empty(); }));
    REQUIRE(scene.records().size() == 1);
    CHECK(scene.records()[0].timed_out == false);
}

TEST_CASE("a relay does not know the call that is removed, as it ended there just now")
{
    Scene scene;
    scene.relay.unsent = 1; // more than it may send at once
    CHECK(scene.ask(remove_text()) == "removed");
    REQUIRE(scene.relay.was_asked("letters"));
    CHECK(scene.records().empty());
    scene.relay.link->say("expired " + json_of("call-1", "id-1"));
    CHECK(scene.acknowledges("id-1"));
    REQUIRE(scene.records().size() == 1);
    CHECK_FALSE(scene.records()[0].lost);
    CHECK(scene.records()[0].timed_out == false);
    CHECK(scene.stage.store.tables["removals"].empty());
}

TEST_CASE("a record of our relay for which there was no room is taken when it comes again")
{
    const bool reconnects = GENERATE(true, false);
    Scene scene(with_quick_chores());
    scene.stage.sink.is_full = true;
    SECTION("that of a call that expired")
    {
        scene.relay.link->say("expired " + json_of("call-1", "id-1"));
        scene.relay.link->settle(scene.stage);
    }
    SECTION("the answer to a removal")
    {
        scene.relay.removed = json_of("call-1", "id-1");
        CHECK(scene.ask(remove_text()) == "removed");
    }
    CHECK(scene.records().empty());
    scene.stage.sink.is_full = false;
    scene.relay.letters = {json_of("call-1", "id-1")};
    INFO("it is asked for, if there is no other connection before");
    if (reconnects) {
        scene.relay.hang_up();
        scene.relay.connect();
    }
    CHECK(scene.acknowledges("id-1"));
    CHECK(scene.records().size() == 1);
}

TEST_CASE("a record that comes again finds what is known of its call")
{
    Scene scene(with_quick_chores());
    SECTION("that it expired, and in which dialog")
    {
        scene.stage.sink.is_full = true;
        scene.relay.link->say("expired " + json_of("call-1", "id-1"));
        scene.relay.link->settle(scene.stage);
        CHECK(scene.stage.dispatcher->session_count() == 1);
        scene.stage.sink.is_full = false;
        scene.relay.letters = {json_of("call-1", "id-1")};
        CHECK(scene.acknowledges("id-1"));
        CHECK(scene.records().at(0).timed_out == true);
        CHECK(scene.records().at(0).dialog_id == "1a2b:3c4d");
        CHECK(scene.stage.dispatcher->session_count() == 0);
    }
    SECTION("that the proxy had removed it")
    {
        scene.relay.hang_up();
        CHECK(scene.ask(remove_text()) == "removed");
        scene.stage.sink.is_full = true;
        scene.relay.letters = {json_of("call-1", "id-1")};
        scene.relay.unsent = 1;
        scene.relay.silent = true;
        scene.relay.connect();
        REQUIRE(scene.relay.was_asked("letters"));
        scene.stage.sink.is_full = false;
        CHECK(scene.acknowledges("id-1"));
        CHECK(scene.records().at(0).timed_out == false);
    }
}

TEST_CASE("a killed relay comes back")
{
    Scene scene;
    scene.relay.hang_up();

    SECTION("with the copy of the call: that is the record")
    {
        scene.relay.letters = {lost_letter("call-1", "id-1")};
        scene.relay.connect();
        CHECK(scene.acknowledges("id-1"));
        REQUIRE(scene.relay.was_asked("letters"));
        REQUIRE(scene.records().size() == 1);
        CHECK(scene.records()[0].record_id == "id-1");
        CHECK(scene.records()[0].dialog_id == "1a2b:3c4d");
    }
    SECTION("with so much to tell that the list is there long before that record")
    {
        scene.relay.unsent = 1;
        scene.relay.connect();
        REQUIRE(scene.relay.until([&] { return scene.relay.asked["letters"] >= 2; }));
        CHECK(scene.records().empty());
        scene.relay.link->say("expired " + lost_letter("call-1", "id-1"));
        CHECK(scene.acknowledges("id-1"));
        scene.relay.unsent = 0;
        const int asked = scene.relay.asked["letters"];
        REQUIRE(scene.relay.until([&] { return scene.relay.asked["letters"] > asked; }));
        REQUIRE(scene.records().size() == 1);
        CHECK(scene.records()[0].record_id == "id-1");
    }
    SECTION("without its state: the record is ours, and has no wait")
    {
        scene.relay.connect();
        REQUIRE(scene.relay.until([&] { return scene.records().size() == 1; }));
        CHECK(scene.records()[0].streams.empty());
        CHECK(scene.relay.asked["letters"] == 1);
    }
    SECTION("only after the dispatcher has restarted, too")
    {
        scene.kill_dispatcher();
        CHECK(scene.stage.dispatcher->session_count() == 1);
        scene.relay.letters = {lost_letter("call-1", "id-1")};
        scene.relay.connect();
        CHECK(scene.acknowledges("id-1"));
        REQUIRE(scene.relay.was_asked("letters"));
        REQUIRE(scene.records().size() == 1);
        CHECK(scene.records()[0].dialog_id == "1a2b:3c4d");
    }
    CHECK(scene.records()[0].lost);
    CHECK(scene.records()[0].timed_out == true);
    CHECK(scene.stage.dispatcher->session_count() == 0);
    INFO("its dialog is ended, and the proxy's removal finds nothing to do");
    CHECK(scene.ask(remove_text()) == "removed");
    CHECK(scene.relay.asked["remove"] == 0);
    CHECK(scene.records().size() == 1);
}

TEST_CASE("the dispatcher is killed between a removal and its answer")
{
    Scene scene;
    scene.relay.silent = true;
    Client proxy = scene.stage.proxy();
    proxy.send(remove_text());
    REQUIRE(scene.relay.was_asked("remove"));
    scene.kill_dispatcher();
    CHECK(scene.stage.dispatcher->session_count() == 1);
    scene.relay.letters = {removed_letter("call-1", "id-1")};
    scene.relay.connect();
    CHECK(scene.acknowledges("id-1"));
    REQUIRE(scene.relay.was_asked("letters"));
    REQUIRE(scene.records().size() == 1);
    CHECK(scene.records()[0].timed_out == false);
    CHECK(scene.records()[0].dialog_id == "1a2b:3c4d");
    CHECK(scene.stage.dispatcher->session_count() == 0);
    INFO("the proxy knows that the call is over: nothing is kept of it");
    CHECK(scene.stage.run_until([&] { return scene.stage.store.tables["sessions"].empty(); }));
}

TEST_CASE("the dispatcher is killed before it could acknowledge a durable record")
{
    Scene scene;
    scene.relay.removed = json_of("call-1", "id-1");
    scene.stage.sink.at_once = false;
    CHECK(scene.ask(remove_text()) == "removed");
    scene.kill_dispatcher();
    scene.stage.sink.at_once = true;
    scene.relay.letters = {removed_letter("call-1", "id-1")};
    scene.relay.connect();
    CHECK(scene.acknowledges("id-1"));
    INFO("made twice, with the same record_id: back ends write it once");
    REQUIRE(scene.records().size() == 2);
    CHECK(scene.records()[1].record_id == scene.records()[0].record_id);
}

TEST_CASE("a record without the relay is the same one when a kill makes it twice")
{
    Scene scene;
    const auto before = scene.stage.store.tables;
    scene.relay.hang_up();
    scene.relay.connect();
    REQUIRE(scene.relay.until([&] { return scene.records().size() == 1; }));
    scene.kill_dispatcher();
    scene.stage.dispatcher.reset();
    scene.stage.io.poll();
    INFO("the record was durable, the end of its session was not");
    scene.stage.store.tables = before;
    scene.stage.start();
    scene.relay.connect();
    REQUIRE(scene.relay.until([&] { return scene.records().size() == 2; }));
    CHECK(scene.records()[0].record_id == scene.records()[1].record_id);
}

TEST_CASE("what a relay tells of a call that was given up is no second record")
{
    Scene scene;
    scene.relay.hang_up();
    scene.relay.connect();
    REQUIRE(scene.relay.until([&] { return scene.records().size() == 1; }));
    const bool restart = GENERATE(false, true);
    if (restart)
        scene.kill_dispatcher();
    else
        scene.relay.hang_up();
    scene.relay.letters = {json_of("call-1", "id-1")};
    scene.relay.connect();
    CHECK(scene.acknowledges("id-1"));
    CHECK(scene.records().size() == 1);

    INFO("a new call of the same tags is another one");
    CHECK(scene.ask(Message{.cseq = "5"}.text()) != "error");
    protocol::SessionReport later = FakePeer::report("call-1", "ftag");
    later.record_id = "id-2";
    later.start_time = std::chrono::duration<double>(read_clocks().wall.time_since_epoch()).count();
    scene.relay.link->say("expired " + protocol::to_json(later));
    CHECK(scene.acknowledges("id-2"));
    CHECK(scene.records().size() == 2);
}

TEST_CASE("a relay of ours that keeps no removals is asked for none and judged by the clock")
{
    Stage stage;
    Keeper relay{stage, "r"};
    relay.hang_up();
    relay.keeps = false;
    relay.connect();
    REQUIRE(relay.until([&] { return relay.asked["sessions"] == 2; })); // it is known
    Client proxy = stage.proxy();
    proxy.send(Message{}.text() + Message{.type = "reply", .to_tag = "ttag"}.text());
    REQUIRE(relay.until([&] { return stage.dispatcher->session_count() == 1; }));
    REQUIRE(relay.until([&] { return relay.asked["update"] == 2; }));
    relay.removed = json_of("call-1", "id-1");
    proxy.send(remove_text());
    REQUIRE(relay.until([&] { return stage.sink.records.size() == 1; }));
    relay.link->say("expired " + json_of("other", "id-2"));
    REQUIRE(relay.until([&] { return !relay.acknowledged.empty(); }));
    CHECK(relay.acknowledged == std::vector<std::string>{"id-2"});
    CHECK(relay.asked["letters"] == 0);
}
