// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "accounting_mysql/fault.hpp"

using mediaproxy::accounting_mysql::fault_of;
using mediaproxy::plugin_support::Fault;

// What a MariaDB shows is in tests/integration/test_mysql.py; MySQL's own numbers are here.

TEST_CASE("a value that the server has no place for, or a trigger refuses, is the record's fault")
{
    for (const unsigned collations : {1267U, 1270U, 1271U, 3854U, 3988U})
        CHECK(fault_of(collations, "HY000") == Fault::record);
    CHECK(fault_of(3819, "HY000") == Fault::record);
    CHECK(fault_of(1644, "HY000") == Fault::record);
    CHECK(fault_of(1406, "22001") == Fault::record);
    for (const char* state : {"22007", "23000", "44000", "21000", "45000"})
        CHECK(fault_of(9999, state) == Fault::record);
}

TEST_CASE("what passes by itself, a row that is there and a missing table are told from it")
{
    CHECK(fault_of(1062, "23000") == Fault::duplicate);
    CHECK(fault_of(1146, "42S02") == Fault::no_table);
    for (const unsigned passing : {1205U, 1213U, 1040U, 1021U, 1114U})
        CHECK(fault_of(passing, "HY000") == Fault::unavailable);
    for (const unsigned client : {2006U, 2013U, 5014U})
        CHECK(fault_of(client, "HY000") == Fault::unavailable);
    CHECK(fault_of(9999, "08S01") == Fault::unavailable);
    CHECK(fault_of(1045, "28000") == Fault::refused);
    CHECK(fault_of(1054, "42S22") == Fault::refused);
}
