// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "accounting_odbc/utf16.hpp"

using namespace mediaproxy::accounting_odbc;

TEST_CASE("every length of UTF-8 goes to UTF-16 and back")
{
    const std::pair<std::string, std::u16string> cases[] = {
        {"", u""},
        {"a~", u"a~"},
        {"\xc2\x80\xdf\xbf", u"\u0080\u07ff"},
        {"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf", u"\u0800\ud7ff\ue000\uffff"},
        {"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf", u"\U00010000\U0010ffff"},
    };
    for (const auto& [utf8, utf16] : cases) {
        CHECK(to_utf16(utf8) == utf16);
        CHECK(to_utf8(utf16) == utf8);
    }
}

TEST_CASE("half a character from a database becomes the character for that")
{
    for (const char16_t half : {u'\xd800', u'\xdbff', u'\xdc00', u'\xdfff'}) {
        const std::u16string text{u'a', half, u'b'};
        CHECK(to_utf8(text) == "a\xef\xbf\xbd"
                               "b");
    }
    CHECK(to_utf8(std::u16string{u'\xd800'}) == "\xef\xbf\xbd");
}
