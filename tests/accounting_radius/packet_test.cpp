// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>
#include <string>

#include "packet.hpp"

using namespace mediaproxy::accounting_radius;

namespace
{

Bytes from_hex(const std::string& text)
{
    Bytes bytes;
    for (std::size_t i = 0; i < text.size(); i += 2)
        bytes.push_back(static_cast<std::uint8_t>(std::stoi(text.substr(i, 2), nullptr, 16)));
    return bytes;
}

const std::string secret = "s3cret";

// Acct-Status-Type = 3, Acct-Session-Id = "c-12", identifier 7, and the answer to it; made with
// another program.
const Bytes request = from_hex("04070020158da913bf99146da6be7c9e342ab3a22806000000032c06632d3132");
const Bytes answer = from_hex("05070014364f9cede435e9f220be4e7db8ecec9e");

std::size_t value_size(const Number& number, const std::string& text)
{
    Bytes bytes;
    append_attribute(bytes, number, text);
    return bytes.size() - (number.vendor == 0 ? 2 : 8);
}

} // namespace

TEST_CASE("text is cut between characters")
{
    CHECK(cut_to_bytes("abc", 3) == "abc");
    CHECK(cut_to_bytes("abcd", 3) == "abc");
    CHECK(cut_to_bytes("a\xc3\xa9", 2) == "a");
    CHECK(cut_to_bytes("\xf0\x9f\x93\x9e", 3).empty());
    CHECK(cut_to_bytes("\xe2\x82\xac\xe2\x82\xac", 5) == "\xe2\x82\xac");
    CHECK(cut_to_bytes("", 0).empty());
}

TEST_CASE("an attribute holds 253 bytes, inside a vendor's 247")
{
    CHECK(value_size({0, 235}, std::string(253, 'x')) == 253);
    CHECK(value_size({0, 235}, std::string(300, 'x')) == 253);
    CHECK(value_size({0, 235}, std::string(252, 'x') + "\xc3\xa9") == 252);
    CHECK(value_size({9, 1}, std::string(300, 'x')) == 247);
    Bytes bytes;
    CHECK(append_attribute(bytes, {0, 1}, std::string(253, 'x')));
    CHECK_FALSE(append_attribute(bytes, {0, 1}, std::string(254, 'x')));
}

TEST_CASE("attributes are written as RFC 2865 has them")
{
    const auto written = [](const Number& number, const Value& value) {
        Bytes bytes;
        append_attribute(bytes, number, value);
        return bytes;
    };
    CHECK(written({0, 46}, std::uint32_t{0x01020304}) == from_hex("2e0601020304"));
    CHECK(written({0, 4}, Ipv4{192, 0, 2, 7}) == from_hex("0406c0000207"));
    CHECK(written({0, 95}, Ipv6{0x20, 1}) == from_hex("5f1220010000000000000000000000000000"));
    CHECK(written({0, 44}, std::string("ab")) == from_hex("2c046162"));
    CHECK(written({0x1234, 3}, std::string("ab")) == from_hex("1a0a0000123403046162"));
}

TEST_CASE("a request carries the authenticator of its bytes and the secret")
{
    CHECK(make_request(7, from_hex("2806000000032c06632d3132"), secret) == request);
}

TEST_CASE("an answer counts when it was made from this request with this secret")
{
    REQUIRE(acknowledges(answer, request, secret));
    CHECK_FALSE(acknowledges(answer, request, "s3creT"));
    CHECK_FALSE(acknowledges(answer, make_request(7, from_hex("280600000002"), secret), secret));
    CHECK_FALSE(acknowledges(request, request, secret));
    CHECK_FALSE(acknowledges({}, request, secret));

    Bytes padded = answer;
    padded.resize(40);
    CHECK(acknowledges(padded, request, secret));
}

TEST_CASE("no byte of an answer may differ, none may be missing")
{
    for (std::size_t i = 0; i < answer.size(); ++i) {
        Bytes changed = answer;
        changed[i] ^= 1;
        INFO("byte " << i);
        CHECK_FALSE(acknowledges(changed, request, secret));
        CHECK_FALSE(acknowledges(ByteView(answer).first(i), request, secret));
    }
}
