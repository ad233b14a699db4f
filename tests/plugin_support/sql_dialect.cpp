// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "support/sql_dialect.hpp"

using namespace mediaproxy::plugin_support;
using Catch::Matchers::Contains;

TEST_CASE("each database gets the table in its own words")
{
    using Statements = std::vector<std::string>;
    CHECK(
        SqlText({}, sqlite_dialect).definition() ==
        Statements{"CREATE TABLE IF NOT EXISTS \"media_sessions\" (\"id\" INTEGER PRIMARY KEY "
                   "AUTOINCREMENT, \"call_id\" VARCHAR(255) NOT NULL, \"from_tag\" VARCHAR(64) NOT "
                   "NULL, \"to_tag\" VARCHAR(64), \"info\" BLOB, \"record_id\" VARCHAR(64) UNIQUE)",
                   "CREATE INDEX IF NOT EXISTS \"media_sessions_callid_idx\" ON \"media_sessions\" "
                   "(\"call_id\", \"from_tag\", \"to_tag\")"});
    CHECK(SqlText({}, mysql_dialect).definition() ==
          Statements{
              "CREATE TABLE IF NOT EXISTS `media_sessions` (`id` BIGINT NOT NULL AUTO_INCREMENT "
              "PRIMARY KEY, `call_id` VARCHAR(255) NOT NULL, `from_tag` VARCHAR(64) NOT NULL, "
              "`to_tag` VARCHAR(64), `info` MEDIUMBLOB, `record_id` VARCHAR(64) UNIQUE, KEY "
              "`media_sessions_callid_idx` (`call_id`(48), `from_tag`(48), `to_tag`(48))) "
              "ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin"});
    CHECK_THAT(SqlText({}, postgres_dialect).definition().at(0),
               Contains("\"id\" BIGSERIAL PRIMARY KEY") && Contains("\"info\" BYTEA"));
}

TEST_CASE("names and placeholders are those of the settings and of the database")
{
    const TableNames names{"calls", "c", "f", "t", "order"};
    const SqlText mysql(names, mysql_dialect), postgres(names, postgres_dialect);
    CHECK(mysql.insert(Layout::mediaproxy, 2) ==
          "INSERT INTO `calls` (`c`, `f`, `t`, `order`) VALUES (?, ?, ?, ?), (?, ?, ?, ?)");
    CHECK(postgres.insert(Layout::ours, 2) ==
          "INSERT INTO \"calls\" (\"c\", \"f\", \"t\", \"order\", \"record_id\") VALUES "
          "($1, $2, $3, $4, $5), ($6, $7, $8, $9, $10)");
    CHECK(postgres.find_records(2) ==
          "SELECT \"record_id\" FROM \"calls\" WHERE \"record_id\" IN ($1, $2)");
    CHECK(postgres.find_infos(2) == "SELECT \"order\" FROM \"calls\" WHERE \"c\" IN ($1, $2) AND "
                                    "\"f\" IN ($3, $4)");
    CHECK(mysql.find_to_tags() == "SELECT `t` FROM `calls` WHERE `c` IN (?) AND `f` IN (?)");
    CHECK(mysql.columns() == "SELECT * FROM `calls` WHERE 1 = 0");
}
