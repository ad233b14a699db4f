// SPDX-License-Identifier: GPL-2.0-or-later
#include <asio/io_context.hpp>
#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include "fakes/accounting_record.hpp"
#include "fakes/log_lines.hpp"
#include "fakes/temporary_folder.hpp"
#include "plugin/accounting_backend.hpp"
#include "radius_server.hpp"

using namespace mediaproxy;
using namespace mediaproxy::plugin;
using namespace accounting_radius_test;
using Catch::Matchers::Contains;
using fakes::AccountingRecord;

namespace
{

constexpr std::uint8_t acct_session_id = 44;
const std::string secret = "testing123";

/// A configuration that names servers, and back ends that read it.
struct Fixture {
    Fixture()
    {
        settings = {{"config_file", folder / "client.conf", ""},
                    {"additional_dictionary", SOURCE_ROOT "/etc/radius/dictionary", ""}};
    }

    /// Requests are sent `tries` times, a second apart.
    void configure(const std::vector<std::uint16_t>& ports, int tries, const std::string& more = "")
    {
        std::string text;
        for (const std::uint16_t port : ports)
            text += "acctserver 127.0.0.1:" + std::to_string(port) + "\n";
        folder.write("client.conf", text + "servers servers\nradius_timeout 1\nradius_retries " +
                                        std::to_string(tries) + "\n" + more);
        folder.write("servers", "127.0.0.1 " + secret + "\n");
    }

    std::unique_ptr<AccountingBackend> make()
    {
        PluginSource source;
        source.dir = BUILD_PLUGIN_DIR;
        source.name = "radius";
        source.settings = settings;
        source.host.log = lines.sink();
        auto made = AccountingBackend::load(io, source);
        if (!made)
            refusal = made.error().message;
        return made ? *std::move(made) : nullptr;
    }
    std::unique_ptr<AccountingBackend> open()
    {
        auto backend = make();
        REQUIRE(backend);
        REQUIRE(backend->open().message.empty());
        return backend;
    }

    asio::io_context io;
    fakes::TemporaryFolder folder;
    std::vector<Setting> settings;
    fakes::LogLines lines;
    std::string refusal;
};

/// Records r1 of call c1, r2 of call c2, ...
class Calls
{
public:
    explicit Calls(int count)
    {
        for (int i = 1; i <= count; ++i)
            records_.push_back(std::make_unique<AccountingRecord>("r" + std::to_string(i),
                                                                  "c" + std::to_string(i)));
    }
    std::vector<const mp_session_record*> from(std::size_t first = 0) const
    {
        std::vector<const mp_session_record*> pointers;
        for (std::size_t i = first; i < records_.size(); ++i)
            pointers.push_back(records_[i]->abi());
        return pointers;
    }

private:
    std::vector<std::unique_ptr<AccountingRecord>> records_;
};

std::vector<std::string> calls_of(const RadiusServer& server)
{
    std::vector<std::string> calls;
    for (const Bytes& request : server.requests())
        calls.push_back(text_of(request, acct_session_id));
    return calls;
}

struct Written {
    Outcome outcome;
    std::uint32_t done = 0;
};

Written write(AccountingBackend& backend, const Calls& calls, std::size_t first = 0)
{
    Written written;
    written.outcome = backend.write(calls.from(first), written.done);
    return written;
}

std::vector<Bytes> silence(const Bytes&)
{
    return {};
}

RadiusServer::Judge acknowledge_all_but(std::set<std::string> calls)
{
    return [calls = std::move(calls)](const Bytes& request) {
        return calls.contains(text_of(request, acct_session_id))
                   ? std::vector<Bytes>{}
                   : std::vector<Bytes>{answer_to(request, secret)};
    };
}

/// What becomes of a record that a server passes over every time.
const std::vector<mp_status> given_up{MP_E_AGAIN, MP_E_AGAIN, MP_E_AGAIN, MP_E_AGAIN, MP_E_FAILED};

} // namespace

TEST_CASE("a record is done when a server acknowledged it")
{
    const RadiusServer server(secret);
    Fixture f;
    f.configure({server.port()}, 3);
    const auto backend = f.open();
    const Written written = write(*backend, Calls(1));
    CHECK(written.outcome.ok());
    CHECK(written.done == 1);
    CHECK(calls_of(server) == std::vector<std::string>{"c1"});
}

TEST_CASE("more records than identifiers all arrive, once each")
{
    const RadiusServer server(secret);
    Fixture f;
    f.configure({server.port()}, 20);
    const auto backend = f.open();
    const Written written = write(*backend, Calls(600));
    CHECK(written.outcome.ok());
    CHECK(written.done == 600);
    const auto calls = calls_of(server);
    CHECK(std::set<std::string>(calls.begin(), calls.end()).size() == 600);
}

TEST_CASE("a silent server is asked again with the same bytes, and the record is kept")
{
    const RadiusServer server(silence);
    Fixture f;
    f.configure({server.port()}, 2);
    const auto backend = f.open();
    const Written written = write(*backend, Calls(1));
    CHECK(written.outcome.status == MP_E_AGAIN);
    CHECK(written.done == 0);
    CHECK_THAT(written.outcome.message, Contains("no answer to 2 tries"));
    const auto requests = server.requests();
    REQUIRE(requests.size() == 2);
    CHECK(requests[0] == requests[1]);
}

TEST_CASE("an answer made with another secret does not count, and the sentence says so")
{
    const RadiusServer server("another");
    Fixture f;
    f.configure({server.port()}, 1);
    const auto backend = f.open();
    const Written written = write(*backend, Calls(1));
    CHECK(written.outcome.status == MP_E_AGAIN);
    CHECK(written.done == 0);
    CHECK_THAT(written.outcome.message,
               Contains("answers that do not fit the request and the secret"));
}

TEST_CASE("the right answer counts behind any amount of garbage")
{
    const RadiusServer server([](const Bytes& request) {
        Bytes forged = answer_to(request, secret), foreign = forged;
        forged[10] ^= 1;
        foreign[1] ^= 0x80;
        return std::vector<Bytes>{Bytes{}, Bytes(1), Bytes(4096, 0xff),
                                  forged,  foreign,  answer_to(request, secret)};
    });
    Fixture f;
    f.configure({server.port()}, 1);
    const auto backend = f.open();
    CHECK(write(*backend, Calls(3)).done == 3);
}

TEST_CASE("an answer that comes after the request was sent again counts")
{
    int came = 0;
    const RadiusServer server([&](const Bytes& request) {
        return ++came < 2 ? std::vector<Bytes>{} : std::vector<Bytes>{answer_to(request, secret)};
    });
    Fixture f;
    f.configure({server.port()}, 3);
    const auto backend = f.open();
    const Written written = write(*backend, Calls(1));
    CHECK(written.outcome.ok());
    CHECK(written.done == 1);
    CHECK(server.requests().size() == 2);
}

TEST_CASE("the next server takes over from a silent one, which is left alone for a while")
{
    const RadiusServer first(silence), second(secret);
    Fixture f;
    f.configure({first.port(), second.port()}, 1);
    const auto backend = f.open();
    CHECK(write(*backend, Calls(1)).done == 1);
    CHECK(write(*backend, Calls(2)).done == 2);
    CHECK(first.requests().size() == 1);
    CHECK(calls_of(second) == std::vector<std::string>{"c1", "c1", "c2"});
}

TEST_CASE("with no dead time the first server is always the first to be asked")
{
    const RadiusServer first(silence), second(secret);
    Fixture f;
    f.configure({first.port(), second.port()}, 1, "radius_deadtime 0\n");
    const auto backend = f.open();
    CHECK(write(*backend, Calls(1)).done == 1);
    CHECK(write(*backend, Calls(1)).done == 1);
    CHECK(first.requests().size() == 2);
}

TEST_CASE("a port that nobody listens on is known at once")
{
    const RadiusServer second(secret);
    Fixture f;
    f.configure({closed_port(), second.port()}, 100);
    const auto backend = f.open();
    CHECK(write(*backend, Calls(5)).done == 5);

    Fixture alone;
    alone.configure({closed_port()}, 100);
    const Written written = write(*alone.open(), Calls(5));
    CHECK(written.outcome.status == MP_E_AGAIN);
    CHECK_THAT(written.outcome.message, Contains("Connection refused"));
}

TEST_CASE("cancel ends the wait for a silent server, and every later one")
{
    const RadiusServer server(silence);
    Fixture f;
    f.configure({server.port()}, 100);
    const auto backend = f.open();
    Written written;
    std::thread writer([&] { written = write(*backend, Calls(1)); });
    REQUIRE(server.await_requests(1));
    backend->cancel();
    writer.join();
    CHECK(written.outcome.status == MP_E_AGAIN);
    CHECK(write(*backend, Calls(1)).outcome.status == MP_E_AGAIN);
    CHECK(server.requests().size() <= 2);
}

TEST_CASE("of what was acknowledged behind a record that was not, one is sent again after it")
{
    const RadiusServer server(acknowledge_all_but({"c2"}));
    Fixture f;
    f.configure({server.port()}, 1);
    const auto backend = f.open();
    const Calls calls(4);
    const Written first = write(*backend, calls);
    CHECK(first.outcome.status == MP_E_AGAIN);
    CHECK(first.done == 1);
    REQUIRE(backend->open().ok());
    CHECK(write(*backend, calls, 1).done == 0);
    CHECK(calls_of(server) == std::vector<std::string>{"c1", "c2", "c3", "c4", "c2", "c4"});
}

TEST_CASE("a record that a server passes over time and again, while it takes others, is given up")
{
    const RadiusServer server(acknowledge_all_but({"c1"}));
    Fixture f;
    f.configure({server.port()}, 1);
    const auto backend = f.open();
    std::vector<mp_status> statuses;
    std::string last;
    for (int round = 1; round <= 5; ++round) {
        AccountingRecord bad("bad", "c1"), good("good" + std::to_string(round), "c2");
        const std::vector<const mp_session_record*> both{bad.abi(), good.abi()};
        std::uint32_t done = 0;
        const Outcome outcome = backend->write(both, done);
        CHECK(done == 0);
        statuses.push_back(outcome.status);
        last = outcome.message;
    }
    CHECK(statuses == given_up);
    CHECK_THAT(last, Contains("acknowledge other records but not this one"));
}

TEST_CASE("a record that a server passes over is given up when no others come any more")
{
    const RadiusServer server(acknowledge_all_but({"c1"}));
    Fixture f;
    f.configure({server.port()}, 1);
    const auto backend = f.open();
    const Calls calls(3);
    std::vector<mp_status> statuses;
    for (int round = 1; round <= 5; ++round)
        statuses.push_back(write(*backend, calls).outcome.status);
    CHECK(statuses == given_up);

    const std::size_t sent = server.requests().size();
    CHECK(write(*backend, calls, 1).done == 2);
    CHECK(server.requests().size() == sent);
}

TEST_CASE("more records that a server passes over than go out at once are given up one by one")
{
    const int before = GENERATE(0, 20); // with none before, the server seems to be dead at first
    constexpr int bad = 40, behind = 20;
    std::set<std::string> passed_over;
    for (int i = before + 1; i <= before + bad; ++i)
        passed_over.insert("c" + std::to_string(i));
    const RadiusServer server(acknowledge_all_but(passed_over));
    Fixture f;
    f.configure({server.port()}, 1);
    const auto backend = f.open();
    const Calls calls(before + bad + behind);
    std::size_t first = 0;
    int rounds = 0, parked = 0;
    for (; first < calls.from().size() && rounds < 60; ++rounds) {
        const Written written = write(*backend, calls, first);
        first += written.done;
        if (written.outcome.status == MP_E_FAILED) {
            ++parked;
            ++first;
        }
    }
    CHECK(first == calls.from().size());
    CHECK(parked == bad);
}

TEST_CASE("a record that a server once passed over is kept while the server is silent")
{
    std::atomic<bool> dead = false, whole = false;
    const RadiusServer server([&](const Bytes& request) {
        const bool heard = !dead && (whole || text_of(request, acct_session_id) != "c1");
        return heard ? std::vector<Bytes>{answer_to(request, secret)} : std::vector<Bytes>{};
    });
    Fixture f;
    f.configure({server.port()}, 1);
    const auto backend = f.open();
    const Calls calls(3);
    CHECK(write(*backend, calls).outcome.status == MP_E_AGAIN);
    dead = true;
    for (int round = 1; round <= 6; ++round)
        CHECK(write(*backend, calls).outcome.status == MP_E_AGAIN);
    dead = false;
    whole = true;
    CHECK(write(*backend, calls).done == 3);
}

TEST_CASE("records are kept while a server acknowledges only what it has already")
{
    std::atomic<bool> takes_new = true;
    std::set<std::string> stored; // of the server's thread
    const RadiusServer server([&](const Bytes& request) {
        const std::string call = text_of(request, acct_session_id);
        if (!takes_new && !stored.contains(call))
            return std::vector<Bytes>{};
        stored.insert(call);
        return std::vector<Bytes>{answer_to(request, secret)};
    });
    Fixture fixture;
    fixture.configure({server.port()}, 1);
    const auto backend = fixture.open();
    CHECK(write(*backend, Calls(1)).done == 1);
    takes_new = false;
    const Calls calls(3);
    for (int attempt = 1; attempt <= 8; ++attempt)
        CHECK(write(*backend, calls, 1).outcome.status == MP_E_AGAIN);
    takes_new = true;
    CHECK(write(*backend, calls, 1).done == 2);
}

TEST_CASE("a server that was silent for long gets no record twice when it is back")
{
    std::atomic<bool> dead = false;
    const RadiusServer server([&](const Bytes& request) {
        return dead ? std::vector<Bytes>{} : std::vector<Bytes>{answer_to(request, secret)};
    });
    Fixture f;
    f.configure({server.port()}, 1);
    const auto backend = f.open();
    const Calls calls(2);
    CHECK(write(*backend, Calls(1)).done == 1);
    dead = true;
    for (int round = 1; round <= 3; ++round)
        CHECK(write(*backend, calls, 1).outcome.status == MP_E_AGAIN);
    dead = false;
    const std::size_t before = server.requests().size();
    CHECK(write(*backend, calls, 1).done == 1);
    CHECK(server.requests().size() == before + 1);
}

TEST_CASE("two back ends with files of their own do not meet")
{
    const RadiusServer one(secret), two("another");
    Fixture first, second;
    first.configure({one.port()}, 1);
    second.configure({two.port()}, 1);
    second.folder.write("servers", "127.0.0.1 another\n");
    second.settings.push_back({"acct_status_type", "Stop", ""});
    const auto to_one = first.open(), to_two = second.open();
    CHECK(write(*to_one, Calls(1)).done == 1);
    CHECK(write(*to_two, Calls(2)).done == 2);
    constexpr std::uint8_t acct_status_type = 40;
    CHECK(text_of(one.requests()[0], acct_status_type) == std::string("\0\0\0\3", 4));
    CHECK(text_of(two.requests()[0], acct_status_type) == std::string("\0\0\0\2", 4));
}

TEST_CASE("a text that is cut is logged once")
{
    const RadiusServer server(secret);
    Fixture f;
    f.configure({server.port()}, 1);
    const auto backend = f.open();
    for (const char* id : {"r1", "r2"}) {
        const AccountingRecord record(id, std::string(252, 'x') + "\xc3\xa9");
        std::uint32_t done = 0;
        const mp_session_record* const pointer = record.abi();
        CHECK(backend->write({&pointer, 1}, done).ok());
    }
    CHECK(calls_of(server)[1] == std::string(252, 'x'));
    CHECK(f.lines.count("Acct-Session-Id of record r1 is longer") == 1);
    CHECK(f.lines.count("is longer") == 1);
}

TEST_CASE("the secret may stand in the line of the server, and the host may be a name")
{
    const RadiusServer server("inline");
    Fixture f;
    f.folder.write("client.conf", "acctserver localhost:" + std::to_string(server.port()) +
                                      ":inline\nradius_timeout 1\nradius_retries 1\n");
    CHECK(write(*f.open(), Calls(1)).done == 1);
}

TEST_CASE("files that cannot be right are a matter for later, each with its sentence")
{
    Fixture f;
    const auto backend = f.make();
    REQUIRE(backend);
    const auto complaint = [&] {
        const Outcome outcome = backend->open();
        CHECK(outcome.status == MP_E_AGAIN);
        return outcome.message;
    };
    CHECK_THAT(complaint(), Contains("client.conf: No such file"));
    f.folder.write("client.conf", "radius_timeout 1\n");
    CHECK_THAT(complaint(), Contains("no acctserver"));
    f.folder.write("client.conf", "acctserver 127.0.0.1\n");
    CHECK_THAT(complaint(), Contains("no secret for 127.0.0.1"));
    f.folder.write("client.conf", "acctserver 127.0.0.1\nservers servers\n");
    CHECK_THAT(complaint(), Contains("servers: No such file"));
    f.folder.write("servers", "127.0.0.1 x\n");
    f.folder.write("client.conf", "acctserver 127.0.0.1\nservers servers\ndictionary words\n");
    CHECK_THAT(complaint(), Contains("words: No such file"));
    const std::string no_name(70, 'x'); // known for one without asking anybody
    f.folder.write("client.conf",
                   "acctserver 127.0.0.1\nservers servers\nbindaddr " + no_name + "\n");
    CHECK_THAT(complaint(), Contains("bindaddr: xxx"));
    f.folder.write("client.conf", "acctserver 127.0.0.1\nservers servers\n");
    CHECK(backend->open().ok());
}

TEST_CASE("an Acct-Status-Type or record_id_attribute that no dictionary knows is named")
{
    Fixture f;
    f.configure({closed_port()}, 1);
    f.settings.push_back({"acct_status_type", "Perhaps", ""});
    CHECK_THAT(f.make()->open().message, Contains("no value Perhaps of Acct-Status-Type"));
    f.settings.back() = {"record_id_attribute", "Record-Id", ""};
    CHECK_THAT(f.make()->open().message, Contains("no string attribute Record-Id"));
}

TEST_CASE("a setting that cannot be right refuses the plugin")
{
    Fixture f;
    f.settings.push_back({"event_timestamp", "perhaps", ""});
    CHECK_FALSE(f.make());
    CHECK_THAT(f.refusal, Contains("event_timestamp: neither true nor false"));
}
