// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>
#include <vector>

#include "accounting_odbc/connection_string.hpp"
#include "accounting_odbc/options.hpp"

using namespace mediaproxy::accounting_odbc;
using Catch::Matchers::Contains;

namespace
{

Options read(const std::vector<mp_setting>& settings)
{
    auto options = read_options(settings);
    if (const auto* sentence = std::get_if<std::string>(&options))
        FAIL(*sentence);
    return std::get<Options>(std::move(options));
}

std::string wrong(const std::vector<mp_setting>& settings)
{
    const auto options = read_options(settings);
    const auto* sentence = std::get_if<std::string>(&options);
    return sentence != nullptr ? *sentence : "";
}

} // namespace

TEST_CASE("single keys become a connection string, odd values in braces")
{
    const Options options = read({{"driver", "PostgreSQL Unicode"},
                                  {"host", "10.0.0.1"},
                                  {"port", "5432"},
                                  {"database", "calls"},
                                  {"user", "me"},
                                  {"password", "a;b}c"},
                                  {"connection_string", "SSLmode=require"}});
    CHECK(connection_string(options) ==
          "DRIVER={PostgreSQL Unicode};SERVER=10.0.0.1;PORT=5432;DATABASE=calls;UID=me;"
          "PWD={a;b}}c};SSLmode=require");
    CHECK(place_of(options) == "odbc:PostgreSQL Unicode at 10.0.0.1:5432, database calls");
}

TEST_CASE("a data source needs nothing else")
{
    const Options options = read({{"dsn", "bills"}});
    CHECK(connection_string(options) == "DSN=bills;");
    CHECK(place_of(options) == "odbc:bills");
    CHECK(options.dialect == nullptr);
}

TEST_CASE("the scheme of an address names dialect and driver")
{
    const Options mssql = read({{"dburi", "mssql://me:pw@db:1433/calls"}});
    CHECK(mssql.dialect->name == "mssql");
    CHECK(connection_string(mssql) ==
          "DRIVER=FreeTDS;SERVER=db;PORT=1433;DATABASE=calls;UID=me;PWD=pw;");
    const Options maxdb = read({{"dburi", "maxdb://me:pw@db:7210/calls"}});
    CHECK(connection_string(maxdb) ==
          "DRIVER=MaxDB;SERVERNODE=db:7210;SERVERDB=calls;UID=me;PWD=pw;");
    const Options other =
        read({{"dburi", "sybase://me:pw@db/calls?driver=ASE&connection_string=A=1"}});
    CHECK(other.dialect->name == "sybase");
    CHECK(connection_string(other) == "DRIVER=ASE;SERVER=db;DATABASE=calls;UID=me;PWD=pw;A=1");
}

TEST_CASE("a wrong setting is refused with a sentence that names it")
{
    CHECK(wrong({{"host", "db"}}) == "neither dsn nor driver nor connection_string is set");
    CHECK_THAT(wrong({{"dsn", "x"}, {"dialect", "klingon"}}),
               Contains("dialect: not one of auto, sql, postgres") && Contains(": klingon"));
    CHECK_THAT(wrong({{"dburi", "mysql://h/d"}}), Contains("mysql:// is not for this plugin"));
    CHECK(wrong({{"dsn", "x"}, {"totag_column", "to tag"}}) ==
          "totag_column: not a name of letters, digits and _: to tag");
    CHECK(wrong({{"dsn", "x"}, {"dialect", "auto"}}).empty());
}
