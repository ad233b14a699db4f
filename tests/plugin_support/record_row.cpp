// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>
#include <map>

#include "fakes/accounting_record.hpp"
#include "support/record_row.hpp"

using namespace mediaproxy::plugin_support;
using mediaproxy::fakes::AccountingRecord;

TEST_CASE("text past the column's size is cut there and whole in the JSON")
{
    std::string accents;
    for (int i = 0; i < 300; ++i)
        accents += "\xc3\xa9";
    const AccountingRecord record("r1", accents, std::string(64, 'f'), std::string(65, 't'));
    std::map<std::string, std::size_t> cuts;
    const RecordRow row = to_row(
        *record.abi(), {}, [&](const char* column, std::size_t size) { cuts[column] = size; });
    CHECK(row.call_id == accents.substr(0, 510));
    CHECK(row.from_tag == std::string(64, 'f'));
    CHECK(row.to_tag == std::string(64, 't'));
    CHECK(row.info == record.json());
    CHECK(cuts == std::map<std::string, std::size_t>{{"call_id", 255}, {"to_tag", 64}});
}

TEST_CASE("bytes that are not UTF-8 go nowhere")
{
    const AccountingRecord record("r1", "call\xff", "f\xc3", "");
    const RecordRow row = to_row(*record.abi(), {}, [](const char*, std::size_t) { FAIL(); });
    CHECK(row.call_id == "call\xef\xbf\xbd");
    CHECK(row.from_tag == "f\xef\xbf\xbd");
    CHECK(row.info == R"({"call_id": "call)"
                      "\xef\xbf\xbd"
                      R"(", "record_id": "r1"})");
}

TEST_CASE("the record's id is found in its JSON, and nothing that looks like it")
{
    const auto [json, id] = GENERATE(values<std::pair<std::string, std::string>>({
        {R"({"call_id": "c", "record_id": "r1", "x": 1})", "r1"},
        {R"({"record_id":"r1"})", "r1"},
        {"{\"record_id\" :\n \"r1\"}", "r1"},
        {R"({"username": "record_id", "record_id": "r1"})", "r1"},
        {R"({"username": "\"record_id\": \"r2\"", "record_id": "r1"})", "r1"},
        {R"({"username": "record_id"})", ""},
        {R"({"record_id": null})", ""},
        {R"({"record_id": "r1)", ""},
        {R"({"record_id")", ""},
        {"not JSON", ""},
        {"", ""},
    }));
    CAPTURE(json);
    CHECK(record_id_of(json) == id);
}
