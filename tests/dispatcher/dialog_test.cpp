// SPDX-License-Identifier: GPL-2.0-or-later
// Expired calls are ended at the SIP proxy.
#include <algorithm>
#include <catch2/catch.hpp>
#include <sys/stat.h>

#include "dispatcher/dialog_terminator.hpp"
#include "fakes/captured_log.hpp"
#include "fakes/proxy_transcript.hpp"
#include "scripted_proxy.hpp"
#include "stage.hpp"

using namespace mediaproxy;
using protocol::ProxyKind;

namespace
{

constexpr const char* asked = "its dialog is ended by the SIP proxy";
constexpr const char* gone = "is not known to the SIP proxy any more";

constexpr Milliseconds soon{200}, never{10'000};

dispatcher::Options telling(ProxyKind kind = ProxyKind::automatic, int retries = 3,
                            Milliseconds timeout = soon)
{
    dispatcher::Options options = Stage::quick();
    options.proxy.socket_path = "proxy.sock";
    options.proxy.kind = kind;
    options.proxy.timeout = timeout;
    options.proxy.retries = retries;
    return options;
}

/// A dispatcher with a relay, on which calls expire.
struct Scene {
    explicit Scene(const dispatcher::Options& options = telling()) : stage(options)
    {
        stage.dispatcher->attach(relay);
    }
    std::string proxy_path() const { return stage.folder.path + "/proxy.sock"; }
    std::string reply_path() const { return stage.folder.path + "/proxy-reply.sock"; }

    void begin(const std::string& call_id, const std::string& dialog_id = "9:4216")
    {
        REQUIRE(stage.ask(Message{.call_id = call_id, .dialog_id = dialog_id}.text()) != "error");
    }
    void expire(const std::string& call_id, const std::string& dialog_id = "9:4216")
    {
        begin(call_id, dialog_id);
        stage.dispatcher->on_expired(relay, FakePeer::report(call_id, "ftag"));
    }
    template <class Done>
    bool until(ScriptedProxy& proxy, Done done)
    {
        return stage.run_until([&] {
            proxy.poll();
            return done();
        });
    }

    fakes::CapturedLog log;
    Stage stage;
    FakePeer relay{"r"};
};

/// As Kamailio, when it ends the dialog.
std::optional<std::string> says_ended(const std::string& question)
{
    static const ProxyTranscript transcript("kamailio-5.6.3");
    const auto& exchange =
        transcript.titled("two numbers, existing dialog, bound socket (from another call)");
    return with_id(*exchange.answer, json_id(question));
}

} // namespace

TEST_CASE("a dialog is ended in the words that each proxy understands")
{
    struct Step {
        const char* question; ///< its id is N
        const char* title;    ///< of the captured answer
    };
    struct Case {
        const char* transcript;
        ProxyKind kind;
        const char* dialog_id;
        const char* call_id;
        std::vector<Step> steps;
        const char* end; ///< in the log
    };
    const char* const refused = "refuses to end dialogs: 400 Parse_error";
    const Case cases[] = {
        {"kamailio-5.6.3",
         ProxyKind::automatic,
         "3902:6549",
         "c",
         {{R"({"jsonrpc": "2.0", "id": "N", "method": "dlg.end_dlg", "params": [3902, 6549]})",
           "two numbers, existing dialog, bound socket (from another call)"}},
         asked},
        {"kamailio-5.6.3",
         ProxyKind::automatic,
         "9:99999999",
         "c",
         {{R"({"jsonrpc": "2.0", "id": "N", "method": "dlg.end_dlg", "params": [9, 99999999]})",
           "two numbers, unknown dialog"}},
         gone},
        {"kamailio-5.6.3",
         ProxyKind::opensips,
         "9:4216",
         "c",
         {{R"({"jsonrpc":"2.0","id":"N","method":"dlg_end_dlg","params":["9.8701"]})",
           "OpenSIPS method name"}},
         "refuses to end dialogs: 500 Method Not Found"},
        {"opensips-3.6.8",
         ProxyKind::automatic,
         "15028991519155",
         "c",
         {{R"({"jsonrpc":"2.0","id":"N","method":"dlg_end_dlg","params":["bad.3b963b53"]})",
           "reverse hex did"}},
         asked},
        {"opensips-3.6.8",
         ProxyKind::opensips,
         "15028991519155",
         "c",
         {{R"({"jsonrpc":"2.0","id":"N","method":"dlg_end_dlg","params":["bad.3b963b53"]})",
           "reverse hex did"}},
         asked},
        {"opensips-3.6.8",
         ProxyKind::automatic,
         "?",
         "1-15663@10.91.1.2",
         {{R"({"jsonrpc":"2.0","id":"N","method":"dlg_end_dlg","params":["1-15663@10.91.1.2"]})",
           "Call-ID"}},
         asked},
        // It knows neither: three names for what is gone, and no lines to one that speaks JSON.
        {"opensips-3.6.8",
         ProxyKind::automatic,
         "15028991519155",
         "1-14298@10.91.1.2",
         {{R"({"jsonrpc":"2.0","id":"N","method":"dlg_end_dlg","params":["bad.3b963b53"]})",
           "again after the end"},
          {R"({"jsonrpc":"2.0","id":"N","method":"dlg_end_dlg","params":["1-14298@10.91.1.2"]})",
           "again after the end"},
          {R"({"jsonrpc":"2.0","id":"N","method":"dlg_end_dlg","params":["15028991519155"]})",
           "module dialog_id, string"}},
         gone},
        {"opensips-3.6.8",
         ProxyKind::opensips_3_0,
         "15028991519155",
         "c",
         {{R"({"jsonrpc":"2.0","id":"N","method":"dlg_end_dlg","params":["15028991519155"]})",
           "module dialog_id, string"}},
         gone},
        {"opensips-3.6.8",
         ProxyKind::opensips_2_4,
         "15028991519155",
         "c",
         {{":dlg_end_dlg:\n15028991519155\n\n", "old line format"}},
         refused},
        {"opensips-3.6.8", // as 3.0.0 to 3.0.3, which tell `entry:id`, would answer
         ProxyKind::automatic,
         "2007:1876867394",
         "c",
         {{R"({"jsonrpc": "2.0", "id": "N", "method": "dlg.end_dlg", "params": [2007, 1876867394]})",
           "unknown method"},
          {R"({"jsonrpc":"2.0","id":"N","method":"dlg_end_dlg","params":["8621876230466"]})",
           "reverse hex did"}},
         asked},
        {"opensips-2.4.11",
         ProxyKind::automatic,
         "2007:1876867394",
         "c",
         {{R"({"jsonrpc": "2.0", "id": "N", "method": "dlg.end_dlg", "params": [2007, 1876867394]})",
           "JSON-RPC"},
          {":dlg_end_dlg:\n8621876230466\n\n", "numeric (h_entry<<32|h_id)"}},
         asked},
        {"opensips-2.4.11",
         ProxyKind::automatic,
         "?",
         "1-16670@10.91.1.2",
         {{R"({"jsonrpc":"2.0","id":"N","method":"dlg_end_dlg","params":["1-16670@10.91.1.2"]})",
           "JSON-RPC"},
          {":dlg_end_dlg:\n1-16670@10.91.1.2\n\n", "Call-ID"}},
         asked},
        {"opensips-2.4.11",
         ProxyKind::opensips_2_4,
         "2007:1876867394",
         "c",
         {{":dlg_end_dlg:\n8621876230466\n\n", "numeric (h_entry<<32|h_id)"}},
         asked},
        {"opensips-2.4.11",
         ProxyKind::opensips_2_4,
         "1234",
         "c",
         {{":dlg_end_dlg:\n1234\n\n", "unknown numeric id"}},
         gone},
    };
    for (const Case& one : cases) {
        INFO(one.transcript << ": " << one.dialog_id);
        const ProxyTranscript transcript(one.transcript);
        Scene scene(telling(one.kind, 0, never));
        std::size_t step = 0;
        ScriptedProxy proxy(scene.proxy_path(), [&](const std::string& question) {
            REQUIRE(step < one.steps.size());
            return with_id(*transcript.titled(one.steps[step++].title).answer, json_id(question));
        });
        scene.expire(one.call_id, one.dialog_id);
        CHECK(scene.until(proxy, [&] { return scene.log.count(one.end) == 1; }));
        REQUIRE(proxy.questions.size() == one.steps.size());
        for (std::size_t i = 0; i < one.steps.size(); ++i)
            CHECK(with_id(proxy.questions[i], "N") == one.steps[i].question);
        CHECK(scene.stage.sink.records.size() == 1);
    }
}

TEST_CASE("whatever a real proxy ever answered, the next call is ended")
{
    struct Case {
        const char* transcript;
        ProxyKind kind;
        const char* dialog_id;
        const char* ending;
    };
    const Case cases[] = {
        {"kamailio-5.6.3", ProxyKind::kamailio, "3902:6549",
         "two numbers, existing dialog, bound socket (from another call)"},
        {"opensips-3.6.8", ProxyKind::opensips, "15028991519155", "reverse hex did"},
        {"opensips-2.4.11", ProxyKind::opensips_2_4, "8621876230466", "numeric (h_entry<<32|h_id)"},
    };
    for (const Case& one : cases) {
        const ProxyTranscript transcript(one.transcript);
        for (const auto& exchange : transcript.exchanges) {
            INFO(one.transcript << ": " << exchange.title);
            Scene scene(telling(one.kind, 0, exchange.answer ? never : soon));
            ScriptedProxy proxy(scene.proxy_path(), [&](const std::string& question) {
                const bool first = proxy.questions.size() == 1;
                const auto& answer = first ? exchange.answer : transcript.titled(one.ending).answer;
                return answer ? std::optional(with_id(*answer, json_id(question))) : std::nullopt;
            });
            scene.expire("first", one.dialog_id);
            scene.expire("second", one.dialog_id);
            CHECK(scene.until(proxy, [&] {
                return scene.log.count(std::string("session second: timed out, ") + asked) == 1;
            }));
            CHECK(proxy.questions.size() == 2);
            CHECK(scene.stage.sink.records.size() == 2);
            CHECK(scene.stage.ask(remove_text("second")) == "removed");
        }
    }
}

TEST_CASE("only answered calls that timed out are ended")
{
    Scene scene(telling(ProxyKind::automatic, 0, never));
    ScriptedProxy proxy(scene.proxy_path(), says_ended);
    dispatcher::Dispatcher& dispatcher = *scene.stage.dispatcher;
    protocol::SessionReport report;

    scene.expire("no dialog", "");
    scene.begin("never answered");
    report = FakePeer::report("never answered", "ftag");
    report.start_time.reset();
    dispatcher.on_expired(scene.relay, report);
    scene.begin("early media");
    report = FakePeer::report("early media", "ftag");
    report.record_id = "ours-1";
    dispatcher.on_expired(scene.relay, report);
    scene.begin("chosen by ICE");
    report = FakePeer::report("chosen by ICE", "ftag");
    report.all_streams_ice = true;
    dispatcher.on_expired(scene.relay, report);
    scene.begin("chosen by ICE, on a relay that does not say so");
    report = FakePeer::report("chosen by ICE, on a relay that does not say so", "ftag");
    report.streams[0].status = "unselected ICE candidate";
    dispatcher.on_expired(scene.relay, report);
    scene.begin("removed");
    CHECK(scene.stage.ask(remove_text("removed")) == "removed");
    scene.relay.hold_removes = true;
    scene.begin("removed meanwhile");
    Client client = scene.stage.proxy();
    client.send(remove_text("removed meanwhile"));
    REQUIRE(scene.stage.run_until([&] { return scene.relay.held_removes.size() == 1; }));
    dispatcher.on_expired(scene.relay, FakePeer::report("removed meanwhile", "ftag"));
    dispatcher.on_expired(scene.relay, FakePeer::report("unknown", "ftag"));

    scene.begin("answered");
    report = FakePeer::report("answered", "ftag");
    report.record_id = "ours-2";
    report.answered_time = 1001;
    dispatcher.on_expired(scene.relay, report);
    CHECK(scene.until(proxy, [&] { return scene.log.count(asked) == 1; }));
    CHECK(proxy.questions.size() == 1);
    CHECK(scene.log.count(std::string("session answered: timed out, ") + asked) == 1);
    CHECK(scene.stage.ask(remove_text("answered")) == "removed");
}

TEST_CASE("a call that its relay has lost is ended too")
{
    Scene scene(telling(ProxyKind::automatic, 0, never));
    ScriptedProxy proxy(scene.proxy_path(), says_ended);
    scene.begin("lost");
    scene.stage.ask(Message{.type = "reply", .call_id = "lost", .to_tag = "ttag"}.text());
    scene.begin("unanswered");
    scene.begin("ringing");
    scene.stage.ask(Message{.type = "reply", .call_id = "ringing"}.text());
    REQUIRE(
        scene.stage.run_until([&] { return scene.stage.store.tables["sessions"].size() == 3; }));
    scene.stage.restart();
    scene.stage.dispatcher->attach(scene.relay);
    CHECK(scene.until(proxy, [&] { return scene.log.count(asked) == 1; }));
    CHECK(proxy.questions.size() == 1);
    REQUIRE(scene.stage.sink.records.size() == 2); // early media counts
    CHECK(scene.stage.sink.records[0].timed_out == true);
    CHECK(scene.stage.ask(remove_text("lost")) == "removed");
}

TEST_CASE("a proxy whose socket is missing is told when it is there")
{
    Scene scene;
    scene.expire("first");
    scene.expire("second");
    CHECK(scene.stage.sink.records.size() == 2);
    REQUIRE(scene.stage.run_until([&] { return scene.log.count("No such file") == 1; }));
    ScriptedProxy proxy(scene.proxy_path(), says_ended);
    CHECK(scene.until(proxy, [&] { return scene.log.count(asked) == 2; }));
    CHECK(scene.log.count("expired calls stay open there") == 1);
    CHECK(scene.log.count("ends dialogs again; 0 expired calls") == 1);
    CHECK(proxy.questions.size() == 2);
}

TEST_CASE("a proxy that does not answer is asked a bounded number of times")
{
    Scene scene(telling(ProxyKind::automatic, 2));
    ScriptedProxy proxy(scene.proxy_path(), [&](const std::string& question) {
        return proxy.questions.size() > 3 ? says_ended(question) : std::nullopt;
    });
    scene.expire("first");
    CHECK(scene.until(proxy, [&] { return proxy.questions.size() == 3; }));
    // Nobody waits for it.
    CHECK(scene.stage.ask(Message{.call_id = "other"}.text()) != "error");
    CHECK(scene.stage.ask(remove_text("other")) == "removed");
    CHECK(scene.stage.ask(remove_text("first")) == "removed");
    CHECK(scene.stage.sink.records.size() == 2);
    scene.expire("second");
    CHECK(scene.until(proxy, [&] { return scene.log.count(asked) == 1; }));
    CHECK(proxy.questions.size() == 4);
    CHECK(scene.log.count("does not answer; expired calls stay open there") == 1);
    CHECK(scene.log.count("ends dialogs again; 1 expired calls") == 1);
    // Each question has its own id.
    std::vector<std::string> ids;
    std::transform(proxy.questions.begin(), proxy.questions.end(), std::back_inserter(ids),
                   json_id);
    std::sort(ids.begin(), ids.end());
    CHECK(std::unique(ids.begin(), ids.end()) == ids.end());
}

TEST_CASE("answers that come late or from strangers do no harm")
{
    Scene scene(telling(ProxyKind::opensips_2_4));
    ScriptedProxy proxy(scene.proxy_path(), [&](const std::string&) {
        return proxy.questions.size() == 3 ? std::optional<std::string>("200 OK\n\n")
                                           : std::nullopt;
    });
    scene.expire("first", "1:1");
    CHECK(scene.until(proxy, [&] { return proxy.questions.size() == 1; }));
    CHECK(proxy.askers[0] == scene.reply_path());
    CHECK(proxy.say(proxy.askers[0], R"({"jsonrpc":"2.0","result":"OK","id":"1"})") == 0);
    CHECK(proxy.say(proxy.askers[0], std::string(100'000, '2')) == 0);
    CHECK(proxy.say(proxy.askers[0], std::string("\0\xff", 2)) == 0);
    CHECK(proxy.say(proxy.askers[0], "") == 0);
    CHECK(scene.until(proxy, [&] { return proxy.questions.size() == 2; }));
    CHECK(scene.log.count(asked) == 0);
    // What answers the first question now is lost: it could be taken for that to the second.
    CHECK(proxy.say(proxy.askers[0], "404 Requested Dialog not found\n\n") == ENOENT);
    CHECK(scene.until(proxy, [&] { return scene.log.count(asked) == 1; }));
    CHECK(proxy.questions.size() == 3);
    struct stat status {
    };
    CHECK(::stat(proxy.askers[1].c_str(), &status) != 0);
    CHECK(::stat(proxy.askers[2].c_str(), &status) == 0);
}

TEST_CASE("an answer counts by its id, not by its time")
{
    Scene scene(telling(ProxyKind::automatic, 0, never));
    ScriptedProxy proxy(scene.proxy_path());
    scene.expire("first");
    CHECK(scene.until(proxy, [&] { return proxy.questions.size() == 1; }));
    const std::string& asker = proxy.askers[0];
    const std::string id = json_id(proxy.questions[0]);
    const std::string answer = *says_ended(proxy.questions[0]);
    CHECK(proxy.say(asker, with_id(answer, id + "0")) == 0);
    CHECK(proxy.say(asker, "200 OK\n\n") == 0);
    CHECK(proxy.say(asker, answer) == 0);
    CHECK(proxy.say(asker, answer) == 0);
    CHECK(scene.stage.run_until([&] { return scene.log.count(asked) == 1; }));
    scene.expire("second");
    CHECK(scene.until(proxy, [&] { return proxy.questions.size() == 2; }));
    CHECK(scene.log.count(asked) == 1);
}

TEST_CASE("a dispatcher that stops ends expired calls first, if the proxy answers")
{
    Scene scene(telling(ProxyKind::kamailio));
    const bool answers = GENERATE(true, false);
    ScriptedProxy proxy(scene.proxy_path(), [answers](const std::string& question) {
        return answers ? says_ended(question) : std::nullopt;
    });
    for (const char* call_id : {"a", "b", "c"})
        scene.expire(call_id);
    bool stopped = false;
    scene.stage.dispatcher->stop([&] { stopped = true; });
    REQUIRE(scene.until(proxy, [&] { return stopped; }));
    CHECK(proxy.questions.size() == (answers ? 3 : 1));
    CHECK(scene.log.count("3 expired calls are not ended there") == (answers ? 0 : 1));
}

TEST_CASE("a proxy that does not read is asked again later")
{
    Scene scene;
    ScriptedProxy proxy(scene.proxy_path(), [](const std::string& question) {
        return question == "x" ? std::nullopt : says_ended(question);
    });
    // Its buffer is full.
    int filling = 0;
    while (proxy.say(scene.proxy_path(), "x") == 0)
        ++filling;
    REQUIRE(filling > 0);
    scene.expire("first");
    REQUIRE(scene.stage.run_until([&] { return scene.log.count("temporarily unavailable") == 1; }));
    CHECK(scene.stage.ask(remove_text("other")) == "removed");
    CHECK(scene.stage.sink.records.size() == 1);
    CHECK(scene.until(proxy, [&] { return scene.log.count(asked) == 1; }));
    CHECK(proxy.questions.size() == static_cast<std::size_t>(filling) + 1);
}

TEST_CASE("a call that goes on again is left alone")
{
    Scene scene(telling(ProxyKind::automatic, 3, Milliseconds{500}));
    ScriptedProxy proxy(scene.proxy_path());
    scene.expire("first");
    CHECK(scene.until(proxy, [&] { return proxy.questions.size() == 1; }));
    scene.begin("first");
    CHECK(scene.until(proxy, [&] { return scene.log.count("goes on, its dialog is not") == 1; }));
    CHECK(proxy.questions.size() == 1);
    CHECK(scene.stage.dispatcher->session_count() == 1);
}

TEST_CASE("ids that the named proxy cannot have are not asked about")
{
    Scene scene(telling(ProxyKind::kamailio, 0, never));
    ScriptedProxy proxy(scene.proxy_path(), says_ended);
    scene.expire("first", "15028991519155");
    CHECK(scene.log.count("has no dialogs with ids like 15028991519155") == 1);
    scene.expire("second");
    CHECK(scene.until(proxy, [&] { return scene.log.count(asked) == 1; }));
    CHECK(proxy.questions.size() == 1);
}

TEST_CASE("without a proxy's socket nobody is asked, and no socket is made")
{
    Scene scene(Stage::quick());
    scene.expire("first");
    CHECK(scene.stage.sink.records.size() == 1);
    struct stat status {
    };
    CHECK(::stat(scene.reply_path().c_str(), &status) != 0);
}

TEST_CASE("the reply socket")
{
    SECTION("can be written to by whoever may use the control socket, and goes with the dispatcher")
    {
        std::string path;
        struct stat status {
        };
        dispatcher::Options options = telling();
        options.socket_mode = 0620;
        {
            Scene scene(options);
            path = scene.reply_path();
            REQUIRE(::stat(path.c_str(), &status) == 0);
            CHECK(S_ISSOCK(status.st_mode));
            CHECK((status.st_mode & 07777) == 0620);
        }
        CHECK(::stat(path.c_str(), &status) != 0);
    }
    SECTION("of another process, or one that cannot be made, is told by name")
    {
        Stage stage;
        ScriptedProxy other(stage.folder.path + "/proxy-reply.sock");
        const auto create = [&](dispatcher::Options options) {
            options.socket_path = "second.sock";
            dispatcher::Dispatcher::Environment environment{.io = stage.io};
            environment.runtime_dir = stage.folder.path;
            const auto made = dispatcher::Dispatcher::create(options, std::move(environment));
            REQUIRE_FALSE(made);
            return made.error().message;
        };
        CHECK_THAT(create(telling()), Catch::StartsWith("reply socket ") &&
                                          Catch::Contains("another process listens there"));
        dispatcher::Options options = telling();
        options.proxy.socket_path = std::string(200, 'x');
        CHECK_THAT(create(options), Catch::StartsWith("SIP proxy's socket "));
    }
}

TEST_CASE("ten thousand expired calls wait for their proxy, and no more")
{
    fakes::CapturedLog log;
    asio::io_context io{1};
    TemporaryFolder folder;
    dispatcher::Options::Proxy options = telling().proxy;
    options.socket_path = folder.path + "/proxy.sock";
    options.reply_path = folder.path + "/reply.sock";
    auto terminator =
        dispatcher::DialogTerminator::open(io, options, {}, [](const auto&) { return true; });
    REQUIRE(terminator);
    ScriptedProxy proxy(options.socket_path);
    for (int i = 0; i < 10'010; ++i)
        (*terminator)->end({"1:" + std::to_string(i), "call", "tag"});
    CHECK(log.count("too many expired calls wait for it; expired calls stay open there") == 1);
    proxy.poll();
    CHECK(proxy.questions.size() == 1);
    (*terminator)->stop();
    CHECK(log.count("10000 expired calls are not ended there") == 1);
}
