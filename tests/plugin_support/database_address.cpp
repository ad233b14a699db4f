// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "support/database_address.hpp"

using namespace mediaproxy::plugin_support;
using Catch::Matchers::Contains;

namespace
{

/// The parts, `|` between; options as key=value.
std::string parts(std::string_view text)
{
    const auto parsed = parse_dburi(text);
    if (const auto* wrong = std::get_if<std::string>(&parsed))
        return "wrong: " + *wrong;
    const auto& address = std::get<DatabaseAddress>(parsed);
    std::string joined = address.scheme + "|" + address.user + "|" + address.password + "|" +
                         address.host + "|" + std::to_string(address.port) + "|" + address.database;
    for (const auto& [key, value] : address.options)
        joined += "|" + key + "=" + value;
    return joined;
}

} // namespace

TEST_CASE("an address of a database is taken apart")
{
    const auto [text, expected] = GENERATE(values<std::pair<std::string, std::string>>({
        {"mysql://joe:secret@db.example.com:3307/calls",
         "mysql|joe|secret|db.example.com|3307|calls"},
        {"mysql://localhost/calls", "mysql|||localhost|0|calls"},
        {"mysql://joe@localhost/calls", "mysql|joe||localhost|0|calls"},
        {"mysql://joe:@localhost", "mysql|joe||localhost|0|"},
        {"postgres://joe:pw@[2001:db8::1]:5433/calls", "postgres|joe|pw|2001:db8::1|5433|calls"},
        {"postgres://[::1]/calls", "postgres|||::1|0|calls"},
        {"mysql://j%6fe:p%40ss%2f%3A%25@h/c%20d", "mysql|joe|p@ss/:%|h|0|c d"},
        {"mysql://joe:p@ss/w?rd:x@h:1/c", "mysql|joe|p@ss/w?rd:x|h|1|c"},
        {"mysql://joe:pw@%2Frun%2Fmysqld%2Fmysqld.sock/c",
         "mysql|joe|pw|/run/mysqld/mysqld.sock|0|c"},
        {"mysql://joe:pw@/c?socket=/run/my.sock&connect_timeout=2",
         "mysql|joe|pw||0|c|socket=/run/my.sock|connect_timeout=2"},
        {"mysql:///c?x", "mysql||||0|c|x="},
        {"sqlite:///var/lib/x@y.sqlite", "sqlite||||0|var/lib/x@y.sqlite"},
    }));
    CAPTURE(text);
    CHECK(parts(text) == expected);
}

TEST_CASE("what is no address of a database is told without telling the password")
{
    const auto [text, sentence] = GENERATE(values<std::pair<std::string, std::string>>({
        {"", "not scheme://"},
        {"localhost/calls", "not scheme://"},
        {"My SQL://localhost/calls", "not scheme://"},
        {"mysql://joe:secret%@h/c", "% without two hexadecimal digits in the password"},
        {"mysql://joe:secret%4@h/c", "% without two hexadecimal digits in the password"},
        {"mysql://joe:secret%00@h/c", "% without two hexadecimal digits in the password"},
        {"mysql://joe:secret%zz@h/c", "% without two hexadecimal digits in the password"},
        {"mysql://joe:secret/c", "no port from 1 to 65535"},
        {"mysql://joe:secret@h:0/c", "no port from 1 to 65535"},
        {"mysql://joe:secret@h:65536/c", "no port from 1 to 65535"},
        {"mysql://joe:secret@h:/c", "no port from 1 to 65535"},
        {"mysql://joe:secret@[::1/c", "an IPv6 address is written [address]"},
        {"mysql://joe:secret@[::1]x/c", "an IPv6 address is written [address]"},
        {"mysql://joe:secret@[", "an IPv6 address is written [address]"},
    }));
    CAPTURE(text);
    CHECK_THAT(parts(text), Contains("wrong: ") && Contains(sentence));
    CHECK_THAT(parts(text), !Contains("secret"));
}
