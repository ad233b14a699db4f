// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "dictionary.hpp"
#include "fakes/temporary_folder.hpp"

using namespace mediaproxy;
using namespace mediaproxy::accounting_radius;
using Catch::Matchers::Contains;

namespace
{

const std::string ours = SOURCE_ROOT "/etc/radius/dictionary";

Attribute text(const std::string& name)
{
    return {name, std::string()};
}

Number found(const Dictionaries& dictionaries, const Attribute& attribute)
{
    const auto number = dictionaries.find(attribute);
    if (const auto* failure = std::get_if<Failure>(&number))
        FAIL(failure->sentence);
    return std::get<Number>(number);
}

} // namespace

TEST_CASE("our dictionary has every attribute that is sent, with the numbers of the standards")
{
    Dictionaries dictionaries;
    REQUIRE_FALSE(dictionaries.add(ours));
    for (const Attribute& attribute : possible_attributes({3, "Acct-Multi-Session-Id", true})) {
        INFO(attribute.name);
        CHECK(found(dictionaries, attribute).vendor == 0);
    }
    struct Row {
        const char* name;
        int type;
    };
    for (const Row& row :
         {Row{"User-Name", 1}, Row{"Acct-Session-Id", 44}, Row{"Sip-To-Tag", 104},
          Row{"Sip-From-Tag", 105}, Row{"Media-Codecs", 233}, Row{"Media-Info", 234},
          Row{"Sip-User-Agents", 235}, Row{"Sip-Applications", 236}})
        CHECK(found(dictionaries, text(row.name)).type == row.type);
    CHECK(std::get<std::uint32_t>(dictionaries.find_value("Acct-Status-Type", "Update")) == 3);
}

TEST_CASE("the first dictionary that knows a name counts")
{
    const fakes::TemporaryFolder folder;
    folder.write("more", "ATTRIBUTE Sip-To-Tag 180 string\n");
    Dictionaries dictionaries;
    REQUIRE_FALSE(dictionaries.add(
        folder.write("proxys", "ATTRIBUTE Sip-From-Tag 181 string\n$INCLUDE more\n"
                               "VALUE Acct-Status-Type Update 15\nVALUE Other-Type Stop 77\n")));
    REQUIRE_FALSE(dictionaries.add(ours));
    CHECK(found(dictionaries, text("Sip-From-Tag")).type == 181);
    CHECK(found(dictionaries, text("Sip-To-Tag")).type == 180);
    CHECK(found(dictionaries, text("User-Name")).type == 1);
    CHECK(std::get<std::uint32_t>(dictionaries.find_value("Acct-Status-Type", "Update")) == 15);
    CHECK(std::get<std::uint32_t>(dictionaries.find_value("Acct-Status-Type", "Stop")) == 2);
    CHECK(std::get<std::uint32_t>(dictionaries.find_value("Acct-Status-Type", "12")) == 12);
}

TEST_CASE("an attribute of another type, or with a number beyond a packet, does not count")
{
    const fakes::TemporaryFolder folder;
    Dictionaries dictionaries;
    REQUIRE_FALSE(dictionaries.add(folder.write(
        "odd", "ATTRIBUTE Media-Info 200 integer\nATTRIBUTE Media-Codecs 1063 string\n")));
    REQUIRE_FALSE(dictionaries.add(ours));
    CHECK(found(dictionaries, text("Media-Info")).type == 234);
    CHECK(found(dictionaries, text("Media-Codecs")).type == 233);
}

TEST_CASE("a vendor's attribute keeps its vendor")
{
    const fakes::TemporaryFolder folder;
    Dictionaries dictionaries;
    REQUIRE_FALSE(dictionaries.add(
        folder.write("vendor", "VENDOR Example 4660\nBEGIN-VENDOR Example\n"
                               "ATTRIBUTE Media-Info 7 string\nEND-VENDOR Example\n")));
    const Number number = found(dictionaries, text("Media-Info"));
    CHECK(number.vendor == 4660);
    CHECK(number.type == 7);
}

TEST_CASE("what is in none of them is named, and where it was looked for")
{
    Dictionaries dictionaries;
    REQUIRE_FALSE(dictionaries.add(ours));
    const auto attribute = dictionaries.find(text("Sip-Weather"));
    REQUIRE(std::holds_alternative<Failure>(attribute));
    CHECK(std::get<Failure>(attribute).sentence == "no string attribute Sip-Weather in " + ours);
    const auto value = dictionaries.find_value("Acct-Status-Type", "Perhaps");
    REQUIRE(std::holds_alternative<Failure>(value));
    CHECK_THAT(std::get<Failure>(value).sentence, Contains("no value Perhaps of Acct-Status-Type"));
}

TEST_CASE("a dictionary that cannot be read is named")
{
    const fakes::TemporaryFolder folder;
    Dictionaries dictionaries;
    const auto missing = dictionaries.add(folder / "missing");
    REQUIRE(missing);
    CHECK_THAT(missing->sentence, Contains("missing: No such file"));
    const auto broken = dictionaries.add(folder.write("broken", "ATTRIBUTE X notanumber string\n"));
    REQUIRE(broken);
    CHECK_THAT(broken->sentence, Contains("broken: not a dictionary"));
}
