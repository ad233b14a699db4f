// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>
#include <map>
#include <vector>

#include "accounting_postgres/driver.hpp"
#include "accounting_postgres/options.hpp"

using namespace mediaproxy::accounting_postgres;

namespace
{

std::variant<Options, std::string> read(const std::vector<mp_setting>& settings)
{
    return read_options(settings);
}

std::string wrong(const std::vector<mp_setting>& settings)
{
    const auto options = read(settings);
    const auto* sentence = std::get_if<std::string>(&options);
    return sentence != nullptr ? *sentence : "";
}

std::map<std::string, std::string> told(const std::vector<mp_setting>& settings)
{
    std::map<std::string, std::string> by_key;
    for (const auto& [key, value] : connection_settings(std::get<Options>(read(settings))))
        by_key[key] = value;
    return by_key;
}

} // namespace

TEST_CASE("an address as MediaProxy writes it is told to libpq piece by piece")
{
    auto libpq = told({{"dburi", "postgres://me:a%40b@db.example.com:5433/calls?sslmode=require"}});
    CHECK(libpq["host"] == "db.example.com");
    CHECK(libpq["port"] == "5433");
    CHECK(libpq["user"] == "me");
    CHECK(libpq["password"] == "a@b");
    CHECK(libpq["dbname"] == "calls");
    CHECK(libpq["sslmode"] == "require");
    CHECK(libpq["client_encoding"] == "UTF8");
    CHECK(libpq["target_session_attrs"] == "read-write");
}

TEST_CASE("single keys go over the address")
{
    auto libpq = told({{"dburi", "postgresql://me:old@db/calls"},
                       {"password", "new"},
                       {"sslrootcert", "/etc/ca.pem"},
                       {"socket", "/run/postgresql"}});
    CHECK(libpq["password"] == "new");
    CHECK(libpq["host"] == "/run/postgresql");
    CHECK(libpq["sslrootcert"] == "/etc/ca.pem");
    CHECK(libpq["port"].empty());
}

TEST_CASE("a wrong setting is refused with a sentence that names it")
{
    CHECK(wrong({{"host", "db"}}) == "database: not set, neither by itself nor in dburi");
    CHECK(wrong({{"database", "d"}, {"sslmode", "maybe"}}) ==
          "sslmode: not one of disable, allow, prefer, require, verify-ca and verify-full: maybe");
    CHECK(wrong({{"dburi", "mysql://h/d"}}) ==
          "dburi: mysql:// is not for this plugin, but postgres://");
    CHECK(wrong({{"dburi", "postgres://h/d?colour=red"}}) == "dburi: unknown option colour");
    CHECK(wrong({{"database", "d"}, {"info_column", "call_id"}}) ==
          "column name used twice: call_id");
    CHECK(wrong({{"database", "d"}, {"port", "0"}}) == "port: not a port: 0");
}
