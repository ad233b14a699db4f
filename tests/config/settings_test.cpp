// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "config/load.hpp"

using namespace mediaproxy;

namespace
{

struct Case {
    const char* table;
    const char* key;
    std::vector<const char*> good, bad;
};

const std::vector<Case> cases{
    {"", "busy_poll", {"'auto'", "0", "15", "1000"}, {"-1", "1001", "1.5", "'15'", "nan"}},
    {"", "realtime", {"true", "false"}, {"1", "'yes'"}},
    {"log",
     "level",
     {"'critical'", "'Error'", "'WARNING'", "'INFO'", "'debug'"},
     {"'x'", "1", "''", "true"}},
    {"relay",
     "stream_timeout",
     {"1", "90", "315360000", "0x10"},
     {"0", "-1", "1.5", "nan", "inf", "'90'", "99999999999999999999999", "315360001", "true", "[1]",
      "1979-05-27", "{a = 1}"}},
    {"relay", "traffic_sampling_period", {"0", "15"}, {"-1", "1.0"}},
    {"relay", "save_interval", {"0", "5"}, {"-1", "1.0"}},
    {"relay", "max_session_duration", {"0", "7200"}, {"-1", "'off'"}},
    {"relay", "idle_timeout", {"'auto'", "1"}, {"0", "'x'", "nan"}},
    {"relay",
     "port_range",
     {"'40000:60000'", "'1024:65536'", "'1024:1026'"},
     {"'1023:60000'", "'40001:60000'", "'40000:60001'", "'60000:40000'", "'40000:40000'",
      "'1024:65538'", "'40000'", "'a:b'", "'-2:4'", "40000", "'40000:60000:70000'", "''"}},
    {"relay", "allow_one_way", {"true", "false"}, {"0", "'yes'", "nan"}},
    {"relay",
     "relay_ip",
     {"[]", "'10.0.0.1'", "['10.0.0.1', '2001:db8::1']"},
     {"'host'", "'0.0.0.0'", "'::'", "'224.0.0.1'", "['10.0.0.1', '10.0.0.2']", "10", "['']"}},
    {"relay",
     "dispatchers",
     {"[]", "'a.example'", "'a.example:1'", "'10.0.0.1 [2001:db8::1]:5'", "['2001:db8::1']"},
     {"'a:0'", "'a:65536'", "'a:b'", "'[a]:5'", "'a/b'", "[5]", "5", "':5'", "'[2001:db8::1]x'"}},
    {"relay",
     "routable_private_ranges",
     {"[]", "'10.0.0.0/8'", "['fd00::/8', '192.168.1.1']"},
     {"'10.0.0.1/8'", "'10.0.0.0/33'", "'x'", "10"}},
    {"relay", "learning_policy", {"'first'"}, {"'last'", "1"}},
    {"relay",
     "forwarding",
     {"'userspace'", "'none'", "[]", "['a', 'b']"},
     {"''", "1", "['a', 'none']", "['a', 'a']"}},
    {"relay", "passport", {"'None'", "'CN:a*'"}, {"'CN'", "'X:a'", "1"}},
    {"dispatcher",
     "listen",
     {"[]", "'10.0.0.1:0'", "'10.0.0.1:25060'", "'any:25060'", "['[::1]:1', '127.0.0.1:1']"},
     {"'10.0.0.1'", "'host:5'", "'10.0.0.1:70000'", "25060"}},
    {"dispatcher", "socket_mode", {"'0660'", "'666'", "0o600"}, {"'888'", "'1777'", "-1", "''"}},
    {"dispatcher", "socket_path", {"'a.sock'", "'/run/a.sock'"}, {"''", "1", "\"a\\nb\""}},
    {"dispatcher",
     "request_deadline",
     {"0.4", "1", "0.001", "60"},
     {"0", "-1.0", "nan", "inf", "-inf", "60.1", "'1'", "1e300", "0.0001"}},
    {"dispatcher", "balancing", {"'round-robin'", "'least-sessions'"}, {"'random'"}},
    {"dispatcher.proxy",
     "kind",
     {"'auto'", "'kamailio'", "'opensips'", "'opensips-3.0'", "'OpenSIPS-2.4'"},
     {"'asterisk'", "''", "3"}},
    {"dispatcher.proxy", "socket_path", {"''", "'/run/opensips/socket'"}, {"1"}},
    {"dispatcher.proxy", "reply_path", {"'r.sock'"}, {"''"}},
    {"dispatcher.proxy", "timeout", {"0.5", "2"}, {"0", "61"}},
    {"dispatcher.proxy", "retries", {"0", "20"}, {"-1", "21", "1.5", "'3'"}},
    {"dispatcher.management", "framing", {"'lines'", "'array'"}, {"'xml'"}},
    {"accounting.a", "plugin", {"'sqlite'"}, {"''", "1", "'../x'"}},
    {"accounting.a", "x", {"1", "'a'", "[1, 'a']", "true", "0.5"}, {"nan", "inf", "1979-05-27"}},
};

/// The key is in line 2.
std::string file_with(const Case& c, const char* value)
{
    const std::string table = *c.table ? fmt::format("[{}]", c.table) : "";
    return fmt::format("{}\n{} = {}\n", table, c.key, value);
}

} // namespace

TEST_CASE("values within their limits are taken, others are refused by name")
{
    for (const Case& c : cases) {
        for (const char* value : c.good) {
            const auto config = config::parse(file_with(c, value), "f");
            INFO(c.key << " = " << value << (config ? "" : config.error().message));
            REQUIRE(config);
            CHECK(config::parse(print_config(*config), "g"));
        }
        for (const char* value : c.bad) {
            INFO(c.key << " = " << value);
            const auto config = config::parse(file_with(c, value), "f");
            REQUIRE(!config);
            CHECK_THAT(config.error().message, Catch::StartsWith("f:2: "));
            CHECK_THAT(config.error().message, Catch::Contains(c.key));
        }
    }
}
