// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "support/sql_options.hpp"

using namespace mediaproxy::plugin_support;
using namespace std::chrono_literals;
using Catch::Matchers::Contains;

TEST_CASE("names of the table and its columns are identifiers")
{
    TableNames names;
    for (const char* key : table_keys)
        CHECK(apply(names, key, std::string("x_") + key) == "");
    CHECK(names.table == "x_sessions_table");
    CHECK(names.call_id == "x_callid_column");
    CHECK(names.from_tag == "x_fromtag_column");
    CHECK(names.to_tag == "x_totag_column");
    CHECK(names.info == "x_info_column");
    for (const std::string& wrong :
         {std::string(), std::string("1st"), std::string("a b"), std::string("a\"; DROP TABLE x"),
          std::string("caf\xc3\xa9"), std::string(65, 'x')}) {
        CAPTURE(wrong);
        CHECK_THAT(apply(names, "info_column", wrong).value_or(""),
                   Contains("info_column: not a name of letters"));
    }
    CHECK(apply(names, "info_column", std::string(64, 'x')) == "");
    CHECK(apply(names, "host", "x") == std::nullopt);
}

TEST_CASE("a name that stands twice, in any case, is one column too few")
{
    TableNames names;
    CHECK(find_repeated(names).empty());
    names.to_tag = "From_Tag";
    CHECK(find_repeated(names) == "column name used twice: from_tag");
    names.to_tag = "RECORD_ID";
    CHECK(find_repeated(names) == "column name used twice: record_id");
}

TEST_CASE("single settings go over the address")
{
    const mp_setting settings[] = {
        {"user", "ann"}, {"dburi", "mysql://joe:pw@h:1/calls?statement_timeout=2.5&own=7"}};
    ServerOptions options;
    std::string own;
    CHECK(apply_dburi(options, settings, {"mysql", "mariadb"},
                      [&](std::string_view key, std::string_view value) -> Verdict {
                          if (key != "own")
                              return std::nullopt;
                          own = value;
                          return std::string();
                      })
              .empty());
    CHECK(own == "7");
    for (const auto& [key, value] :
         {std::pair{"user", "ann"}, {"port", "3306"}, {"connect_timeout", "0.5"}})
        CHECK(apply(options, key, value) == "");
    CHECK(options.address.user == "ann");
    CHECK(options.address.password == "pw");
    CHECK(options.address.host == "h");
    CHECK(options.address.port == 3306);
    CHECK(options.statement_timeout == 2500ms);
    CHECK(options.connect_timeout == 500ms);
    CHECK(apply(options, "socket", "/run/x") == "");
    CHECK(options.address.host == "/run/x");
}

TEST_CASE("a wrong setting of a server is told by its name")
{
    const auto [key, value, sentence] = GENERATE(table<const char*, const char*, const char*>({
        {"port", "0", "port: not a port: 0"},
        {"port", "65536", "port: not a port"},
        {"port", "3306x", "port: not a port"},
        {"socket", "run/x", "socket: not a path from /: run/x"},
        {"connect_timeout", "0", "connect_timeout: not a number of seconds"},
        {"statement_timeout", "-1", "statement_timeout: not a number of seconds"},
        {"statement_timeout", "nan", "statement_timeout: not a number of seconds"},
        {"statement_timeout", "3601", "statement_timeout: not a number of seconds"},
    }));
    ServerOptions options;
    CHECK_THAT(apply(options, key, value).value_or(""), Contains(sentence));
}

TEST_CASE("an address for another plugin, or with options that nobody knows, is refused")
{
    const auto [uri, sentence] = GENERATE(table<const char*, const char*>({
        {"postgres://h/c", "postgres:// is not for this plugin, but mysql://"},
        {"mysql://h/c?charset=utf8", "dburi: unknown option charset"},
        {"mysql://h/c?port=x", "dburi: port: not a port: x"},
        {"nothing", "dburi: not scheme://"},
    }));
    const mp_setting settings[] = {{"dburi", uri}};
    ServerOptions options;
    CHECK_THAT(apply_dburi(options, settings, {"mysql", "mariadb"}), Contains(sentence));
}

TEST_CASE("the keys of a plugin are one list that ends with a null pointer")
{
    constexpr auto keys = join_keys(std::array{"a", "b"}, std::array{"c"});
    REQUIRE(keys.size() == 4);
    CHECK(std::string(keys[0]) + keys[1] + keys[2] == "abc");
    CHECK(keys[3] == nullptr);
}
