// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "support/utf8.hpp"

using namespace mediaproxy::plugin_support;

TEST_CASE("bytes that belong to no character become the replacement character, the others stay")
{
    const auto [bytes, text] = GENERATE(values<std::pair<std::string, std::string>>({
        {"", ""},
        {"caf\xc3\xa9 \xe4\xb8\x96 \xf0\x9f\x93\x9e", "caf\xc3\xa9 \xe4\xb8\x96 \xf0\x9f\x93\x9e"},
        {"a\xff"
         "b",
         "a\xef\xbf\xbd"
         "b"},
        {"\xc3", "\xef\xbf\xbd"},                                                 // cut short
        {"\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},                                 // overlong
        {"\xe0\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 // overlong
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},                 // a surrogate
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"}, // too large
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},                                 // just not
        {"\xe4\xb8x", "\xef\xbf\xbd\xef\xbf\xbdx"},
    }));
    CHECK(to_utf8(bytes) == text);
}

TEST_CASE("text is cut between characters, which are counted as a database does")
{
    const std::string text = "a\xc3\xa9\xe4\xb8\x96\xf0\x9f\x93\x9e";
    CHECK(cut(text, 0).empty());
    CHECK(cut(text, 1) == "a");
    CHECK(cut(text, 2) == "a\xc3\xa9");
    CHECK(cut(text, 3) == "a\xc3\xa9\xe4\xb8\x96");
    CHECK(cut(text, 4) == text);
    CHECK(cut(text, 5) == text);
}

TEST_CASE("in ASCII nothing of a JSON text is lost")
{
    CHECK(to_ascii("a\xc3\xa9\xf0\x9f\x93\x9e") == "a??");
    CHECK(to_ascii_json("{\"a\": \"\xc3\xa9\xe4\xb8\x96\xf0\x9f\x93\x9e\"}") ==
          "{\"a\": \"\\u00e9\\u4e16\\ud83d\\udcde\"}");
    CHECK(is_ascii("a\x7f"));
    CHECK_FALSE(is_ascii("\xc3\xa9"));
}
