// SPDX-License-Identifier: GPL-2.0-or-later
#include "tls/passport.hpp"

#include <catch2/catch.hpp>

using mediaproxy::tls::Passport;

namespace
{
const std::vector<Passport::Attribute> subject{
    {"C", "NL"},   {"O", "AG Projects"},       {"OU", "one"},
    {"OU", "two"}, {"CN", "Relay, the first"}, {"EMAIL", "relay@example.com"}};
} // namespace

TEST_CASE("a passport accepts subjects that say what it wants")
{
    struct Case {
        const char* passport;
        bool accepted;
    };
    const Case cases[] = {{"", true},
                          {"None", true},
                          {"none", true},
                          {"O:AG Projects", true},
                          {"o: AG Projects , cn:Relay*", true},
                          {"O:AG Projects, CN:*first", true},
                          {"CN:*the*", true},
                          {"CN:*", true},
                          {"CN:Relay\\, the first", true},
                          {"OU:two", true},
                          {"EMAIL:*@example.com, C:NL", true},
                          {"OU:three", false},
                          {"O:AG", false},
                          {"O:*AG", false},
                          {"O:AG Projects, CN:first*", false},
                          {"L:Haarlem", false},
                          {"o:ag projects", false}};
    for (const Case& c : cases) {
        INFO(c.passport);
        const auto passport = Passport::parse(c.passport);
        REQUIRE(passport);
        CHECK(passport->accept(subject).has_value() == c.accepted);
        CHECK(*Passport::parse(passport->to_string()) == *passport);
    }
}

TEST_CASE("a passport that is printed reads the same again")
{
    for (const char* text : {"O:a, CN:b", "O:a\\, b", "O:a\\\\, CN:b", "O:a\\\\\\, b", "O:a\\b"}) {
        INFO(text);
        const auto passport = Passport::parse(text);
        REQUIRE(passport);
        CHECK(Passport::parse(passport->to_string()).value() == *passport);
    }
    CHECK(Passport::parse("O:a\\\\, CN:b")->accept({{"O", "a\\"}, {"CN", "b"}}));
    CHECK(Passport::parse("O:a\\, b")->accept({{"O", "a, b"}}));
}

TEST_CASE("a refusal names the attribute, what it is and what it should be")
{
    const auto refused = Passport::parse("CN:other").value().accept(subject);
    REQUIRE(!refused);
    CHECK(refused.error().message ==
          R"(refused by passport: CN is "Relay, the first", not "other")");
}

TEST_CASE("a passport that cannot be read is refused with the reason")
{
    for (const char* text : {"O", "X:y", "O:", "O:a,,CN:b", "O:a,", "CN:a*b", ":a", "CN:*a*b"}) {
        INFO(text);
        CHECK_FALSE(Passport::parse(text));
    }
}
