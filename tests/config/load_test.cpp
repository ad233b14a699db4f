// SPDX-License-Identifier: GPL-2.0-or-later
#include "config/load.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "config/keys.hpp"

using namespace mediaproxy;

namespace
{

std::string error_of(const std::string& text)
{
    const auto config = config::parse(text, "f");
    return config ? "" : config.error().message;
}

} // namespace

TEST_CASE("an empty file is the defaults, and the defaults load again")
{
    const auto empty = config::parse("", "f");
    REQUIRE(empty);
    const std::string printed = print_config(config::Config{});
    CHECK(print_config(*empty) == printed);
    const auto again = config::parse(printed, "f");
    if (!again)
        FAIL(again.error().message);
    CHECK(print_config(*again) == printed);
}

TEST_CASE("a printed configuration loads to the same")
{
    const auto config = config::parse(R"(
role = "relay"
[log]
level = "debug"
target = "stderr"
[tls]
verify_interval = 1
[dispatcher]
listen = ["10.0.0.1:1", "[2001:db8::1]:65535"]
socket_mode = 0o666
passport = 'O:A\, B, CN:relay*'
request_deadline = 1
accounting = ["one", "two"]
[dispatcher.management]
enabled = false
listen = []
framing = "array"
[relay]
dispatchers = ["10.0.0.1", "example.com:1234", "[2001:db8::1]:99", "2001:db8::2"]
relay_ip = ["10.0.0.7", "2001:db8::7"]
port_range = "1024:65536"
idle_timeout = 30
routable_private_ranges = ["10.0.0.0/8", "fd00::/8"]
[accounting.one]
plugin = "sqlite"
path = "/a \"quoted\" path"
columns = ["a", "b"]
size = -5
share = 0.5
flag = true
[forwarding.userspace]
threads = 2
)",
                                      "f");
    if (!config)
        FAIL(config.error().message);
    CHECK(config->relay.dispatchers.size() == 4);
    CHECK(config->relay.dispatchers[3].host == "2001:db8::2");
    CHECK(config->relay.dispatchers[3].port == 25060);
    CHECK(config->dispatcher.socket_mode == 0666);
    const auto one = config->accounting_table("one");
    CHECK(one.plugin == "sqlite");
    CHECK(one.settings.size() == 6);
    CHECK(one.settings[0].where == "f:26");
    CHECK(config->accounting_table("two").plugin == "two");
    const std::string printed = print_config(*config);
    const auto again = config::parse(printed, "g");
    if (!again)
        FAIL(again.error().message);
    CHECK(print_config(*again) == printed);
}

TEST_CASE("dispatchers and networks may stand in one text as in MediaProxy")
{
    const auto config = config::parse("[relay]\ndispatchers = \"a.example b.example:5, 10.0.0.1\"\n"
                                      "routable_private_ranges = \"10.0.0.0/8 192.168.0.0/16\"",
                                      "f");
    REQUIRE(config);
    CHECK(config->relay.dispatchers.size() == 3);
    CHECK(config->relay.dispatchers[1].port == 5);
    CHECK(config->relay.routable_private_ranges.size() == 2);
}

TEST_CASE("an unknown key is an error with file, line and what was probably meant")
{
    struct Case {
        const char* text;
        const char* error;
    };
    const Case cases[] = {
        {"[relay]\n\nstrem_timeout = 5",
         "f:3: [relay] unknown key \"strem_timeout\"; did you mean \"stream_timeout\"?"},
        {"rol = \"both\"", "f:1: unknown key \"rol\"; did you mean \"role\"?"},
        {"[dispatcher]\nstream_timeout = 5",
         "f:2: [dispatcher] unknown key \"stream_timeout\"; it stands in [relay]"},
        {"[log]\nrole = \"relay\"", "f:2: [log] unknown key \"role\"; it stands at the top of the "
                                    "file, before any table"},
        {"[log]\nbasdfghjk = 1", "f:2: [log] unknown key \"basdfghjk\"; known here: level, target"},
        {"[rely]\nx = 1", "f:1: unknown table [rely]; did you mean [relay]?"},
        {"[dispatcher.managment]\n",
         "f:1: unknown table [dispatcher.managment]; did you mean [dispatcher.management]?"},
    };
    for (const Case& c : cases)
        CHECK(error_of(c.text) == c.error);
}

TEST_CASE("an unknown table that is near to none is told every table that there is")
{
    const std::string error = error_of("[bananas]\n");
    for (const config::Key& key : config::keys()) {
        if (!key.table.empty())
            CHECK_THAT(error, Catch::Contains("[" + std::string(key.table) + "]"));
    }
    CHECK_THAT(error, Catch::EndsWith("[relay], [accounting.NAME] and [forwarding.NAME]"));
}

TEST_CASE("several problems are reported together, in the order of the file")
{
    CHECK(error_of("[relay]\nstream_timeout = 0\nallow_one_way = 1\n[log]\nlevel = \"loud\"") ==
          "f:2: [relay] stream_timeout = 0: must be a whole number of seconds from 1 to "
          "315360000\n"
          "f:3: [relay] allow_one_way = 1: must be true or false\n"
          "f:5: [log] level = \"loud\": must be one of \"CRITICAL\", \"ERROR\", \"WARNING\", "
          "\"INFO\", \"DEBUG\"");
}

TEST_CASE("a file that is no TOML is an error with its line")
{
    for (const char* text : {"a = = 1", "[relay\nx", "[relay]\nname = \"x", "x", "a = 1\na = 2"}) {
        INFO(text << " -> " << error_of(text));
        CHECK_THAT(error_of(text), Catch::StartsWith("f:"));
    }
    CHECK_THAT(error_of("[relay]\nstream_timeout = 1 2"), Catch::StartsWith("f:2: "));
    CHECK(error_of("name = \"\xff\"") == "f: not UTF-8 text");
}

TEST_CASE("a file that is missing, a folder or too long is an error that names it")
{
    const std::string folder = std::filesystem::temp_directory_path();
    CHECK(config::load("/nonexistent/x.toml").error().message ==
          "/nonexistent/x.toml: No such file or directory");
    CHECK(config::load(folder).error().message == folder + ": not a file");
    std::string path = folder + "/mediaproxy-config-XXXXXX";
    REQUIRE(::mkstemp(path.data()) >= 0);
    std::ofstream(path) << std::string(2 << 20, '#');
    CHECK_THAT(config::load(path).error().message, Catch::Contains("longer than"));
    std::ofstream(path) << "[tls]\ncerts_path = \"certs\"\n";
    const auto loaded = config::load(path);
    REQUIRE(loaded);
    CHECK(loaded->certs_path() == folder + "/certs");
    std::filesystem::remove(path);
}

TEST_CASE("settings that do not go together are told for the role that they matter to")
{
    struct Case {
        const char* text;
        const char* problem;
    };
    const Case cases[] = {
        {"", ""},
        {"role = \"relay\"", "[relay] dispatchers: a relay alone needs"},
        {"role = \"relay\"\n[relay]\ndispatchers = [\"a\"]", ""},
        {"[dispatcher]\nattempt_timeout = 0.4", "[dispatcher] attempt_timeout: "},
        {"[dispatcher]\nlisten = []", ""},
        {"role = \"dispatcher\"\n[dispatcher]\nlisten = []", "[dispatcher] listen: "},
        {"[dispatcher]\naccounting = [\"a\", \"b\", \"a\"]",
         "[dispatcher] accounting: a is named twice"},
        {"[dispatcher.proxy]\nsocket_path = \"p\"", ""},
        {"[dispatcher.proxy]\nreply_path = \"dispatcher.sock\"", ""},
        {"[dispatcher.proxy]\nsocket_path = \"p\"\nreply_path = \"p\"",
         "[dispatcher.proxy] reply_path: "},
        {"[dispatcher.proxy]\nsocket_path = \"p\"\nreply_path = \"dispatcher.sock\"",
         "[dispatcher.proxy] reply_path: "},
        {"[dispatcher.management]\nlisten = []", "[dispatcher.management] listen"},
        {"[dispatcher.management]\nlisten = []\nsocket_path = \"m.sock\"", ""},
        {"[relay]\nrelay_ip = [\"10.0.0.1\"]\nadvertised_ip = [\"2001:db8::1\"]",
         "[relay] advertised_ip: 2001:db8::1 has no relay_ip"},
    };
    for (const Case& c : cases) {
        INFO(c.text);
        const auto config = config::parse(c.text, "f");
        REQUIRE(config);
        const auto problems = contradictions(*config);
        const bool expected = *c.problem != '\0';
        REQUIRE(problems.size() == (expected ? 1 : 0));
        if (expected)
            CHECK_THAT(problems[0], Catch::StartsWith(c.problem));
    }
}
