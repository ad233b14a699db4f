// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "client_file.hpp"
#include "settings.hpp"

using namespace mediaproxy::accounting_radius;
using Catch::Matchers::Contains;

namespace
{

ClientFile parsed(const std::string& text)
{
    auto file = parse_client_file(text, "client.conf");
    if (const auto* failure = std::get_if<Failure>(&file))
        FAIL(failure->sentence);
    return std::get<ClientFile>(std::move(file));
}

std::string refusal(const std::string& text)
{
    const auto file = parse_client_file(text, "client.conf");
    const auto* failure = std::get_if<Failure>(&file);
    return failure == nullptr ? "taken" : failure->sentence;
}

/// As the packages of old radiusclient libraries install it.
constexpr const char* old_file = R"(# General settings

auth_order	radius,local
login_tries	4
login_timeout	60
nologin	/etc/nologin
issue	/usr/local/etc/radiusclient-ng/issue

# RADIUS settings
authserver 	localhost:1812
acctserver 	radius1.example.com, 192.0.2.9:11813   # the second is a spare
servers		/etc/radiusclient-ng/servers
dictionary 	/etc/radiusclient-ng/dictionary
login_radius	/usr/sbin/login.radius
seqfile		/var/run/radius.seq
mapfile		/etc/radiusclient-ng/port-id-map
default_realm
radius_timeout	4
radius_retries	2
bindaddr *
login_local	/bin/login
)";

} // namespace

TEST_CASE("an old radiusclient's file is understood, whatever else is in it")
{
    const ClientFile file = parsed(old_file);
    REQUIRE(file.servers.size() == 2);
    CHECK(file.servers[0].host == "radius1.example.com");
    CHECK(file.servers[0].port == 1813);
    CHECK(file.servers[1].host == "192.0.2.9");
    CHECK(file.servers[1].port == 11813);
    CHECK(file.secrets_file == "/etc/radiusclient-ng/servers");
    CHECK(file.dictionary == "/etc/radiusclient-ng/dictionary");
    CHECK(file.timeout == std::chrono::seconds(4));
    CHECK(file.tries == 2);
    CHECK(file.bind_address.empty());
}

TEST_CASE("what the file does not say has radcli's defaults, and silent servers rest a minute")
{
    const ClientFile file = parsed("acctserver localhost");
    CHECK(file.timeout == std::chrono::seconds(10));
    CHECK(file.tries == 3);
    CHECK(file.dead_time == std::chrono::seconds(60));
    CHECK(parsed("acctserver x\r\nradius_deadtime 0\r\n").dead_time.count() == 0);
    CHECK(parsed("acctserver x\nbindaddr 192.0.2.1").bind_address == "192.0.2.1");
}

TEST_CASE("a server is a host, with or without port and secret")
{
    struct Row {
        const char *text, *host;
        int port;
        const char* secret;
    };
    for (const Row& row :
         {Row{"localhost", "localhost", 1813, ""}, Row{"h:2000", "h", 2000, ""},
          Row{"h:2000:sec#ret", "h", 2000, "sec#ret"}, Row{"h::secret", "h", 1813, "secret"},
          Row{"[2001:db8::1]", "2001:db8::1", 1813, ""},
          Row{"[2001:db8::1]:2000", "2001:db8::1", 2000, ""},
          Row{"[2001:db8::1]:2000:secret", "2001:db8::1", 2000, "secret"},
          Row{"2001:db8::1", "2001:db8::1", 1813, ""}}) {
        INFO(row.text);
        const ClientFile file = parsed(std::string("acctserver ") + row.text);
        REQUIRE(file.servers.size() == 1);
        CHECK(file.servers[0].host == row.host);
        CHECK(file.servers[0].port == row.port);
        CHECK(file.servers[0].secret == row.secret);
    }
}

TEST_CASE("servers may stand on several lines, and be more than radcli takes")
{
    std::string text;
    for (int i = 0; i < 12; ++i)
        text += "acctserver 192.0.2." + std::to_string(i) + "\n";
    CHECK(parsed(text).servers.size() == 12);
}

TEST_CASE("a line that cannot be right is named with its number and what is wrong")
{
    struct Row {
        const char *text, *sentence;
    };
    for (const Row& row :
         {Row{"", "client.conf: no acctserver in it"},
          Row{"acctserver a\nradius_timeout soon", "client.conf:2: radius_timeout: not a number"},
          Row{"acctserver a\nradius_timeout 0", "from 1 to 300: 0"},
          Row{"acctserver a:port", "client.conf:1: acctserver: not HOST"},
          Row{"acctserver a:70000", "acctserver: not HOST"},
          Row{"acctserver [::1", "acctserver: not HOST"},
          Row{"acctserver [::1]x", "acctserver: not HOST"},
          Row{"acctserver a\nserv-type tls",
              "client.conf:2: serv-type: this plugin knows udp only"},
          Row{"acctserver a\nnamespace blue", "client.conf:2: namespace: "}}) {
        INFO(row.text);
        CHECK_THAT(refusal(row.text), Contains(row.sentence));
    }
    CHECK(refusal("acctserver a\nserv-type udp") == "taken");
}

TEST_CASE("secrets are found by the server's name or address, in pairs too")
{
    const Secrets secrets = Secrets::parse("# Server  Key\n"
                                           "radius1.example.com\tfirst\n"
                                           "192.0.2.1   se#cond  # a comment\n"
                                           "ourselves/radius2 third\n"
                                           "2001:db8::1 fourth\n"
                                           "nothing\n");
    CHECK(secrets.find("Radius1.example.com") == "first");
    CHECK(secrets.find("192.0.2.1") == "se#cond");
    CHECK(secrets.find("radius2") == "third");
    CHECK(secrets.find("2001:db8::1") == "fourth");
    CHECK_FALSE(secrets.find("nothing"));
    CHECK_FALSE(secrets.find("192.0.2"));
}

TEST_CASE("paths in a file are beside it")
{
    CHECK(path_beside("/etc/radius/client.conf", "servers") == "/etc/radius/servers");
    CHECK(path_beside("/etc/radius/client.conf", "/servers") == "/servers");
    CHECK(path_beside("client.conf", "servers") == "servers");
}

TEST_CASE("the plugin's own settings")
{
    const mp_setting good[] = {{"config_file", "/c"},
                               {"additional_dictionary", "radius/mine"},
                               {"acct_status_type", "2"},
                               {"record_id_attribute", "Class"},
                               {"event_timestamp", "true"}};
    const auto read = read_settings(good);
    REQUIRE(std::holds_alternative<Settings>(read));
    const Settings& settings = std::get<Settings>(read);
    CHECK(settings.config_file == "/c");
    CHECK(settings.additional_dictionary == CONFIGURATION_FOLDER "/radius/mine");
    CHECK(settings.acct_status_type == "2");
    CHECK(settings.record_id_attribute == "Class");
    CHECK(settings.event_timestamp);

    const mp_setting bad[] = {{"event_timestamp", "perhaps"}};
    const mp_setting empty[] = {{"config_file", ""}};
    CHECK(std::holds_alternative<Failure>(read_settings(bad)));
    CHECK(std::holds_alternative<Failure>(read_settings(empty)));
}
