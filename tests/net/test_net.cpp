// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "net/address.hpp"
#include "net/endpoint.hpp"
#include "net/network.hpp"

using namespace mediaproxy::net;

namespace
{

Address address(std::string_view text)
{
    return Address::parse(text).value();
}

} // namespace

TEST_CASE("addresses are read and written")
{
    for (const char* text : {"0.0.0.0", "192.0.2.1", "255.255.255.255", "::", "::1", "2001:db8::1"})
        CHECK(address(text).to_string() == text);
    CHECK(address("2001:DB8:0:0::1") == address("2001:db8::1"));
    CHECK(address("::ffff:192.0.2.1") == address("192.0.2.1"));
}

TEST_CASE("what is not an address is refused by name")
{
    for (const char* text : {"", "1.2.3", "1.2.3.256", "01.2.3.4", "host.example", "[::1]",
                             "fe80::1%eth0", "1.2.3.4 ", ":::", "20.1.0.2:5000"}) {
        const auto parsed = Address::parse(text);
        REQUIRE_FALSE(parsed);
        CHECK(parsed.error().message.find(text) != std::string::npos);
    }
    CHECK_FALSE(Address::parse(std::string_view("1.2.3.4\0", 8)));
}

TEST_CASE("addresses know what they are")
{
    CHECK(address("0.0.0.0").is_unspecified());
    CHECK(address("::").is_unspecified());
    CHECK_FALSE(Address{}.is_unspecified());
    CHECK(address("127.3.0.1").is_loopback());
    CHECK(address("::1").is_loopback());
    CHECK_FALSE(address("::2").is_loopback());
    CHECK(address("224.0.0.1").is_multicast());
    CHECK(address("255.255.255.255").is_multicast());
    CHECK(address("ff02::1").is_multicast());
    CHECK_FALSE(address("192.0.2.1").is_multicast());
}

TEST_CASE("endpoints are written as records and as text")
{
    CHECK(Endpoint{address("192.0.2.1"), 5000}.to_record() == "192.0.2.1:5000");
    CHECK(Endpoint{address("2001:db8::1"), 5000}.to_record() == "2001:db8::1:5000");
    CHECK(Endpoint{address("2001:db8::1"), 5000}.to_string() == "[2001:db8::1]:5000");
    CHECK(Endpoint{}.to_record() == "Unknown");
    CHECK(parse_endpoint("[::1]:25060").value() == Endpoint{address("::1"), 25060});
    CHECK(parse_endpoint("127.0.0.1:1").value() == Endpoint{address("127.0.0.1"), 1});
    for (const char* bad : {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:70000", "[::1:1", "x:1"})
        CHECK_FALSE(parse_endpoint(bad));
}

TEST_CASE("networks hold what their prefix says")
{
    struct Case {
        const char *network, *address;
        bool inside;
    };
    for (const Case& c : {Case{"10.0.0.0/8", "10.255.0.1", true},
                          {"10.0.0.0/8", "11.0.0.1", false},
                          {"172.16.0.0/12", "172.31.255.255", true},
                          {"172.16.0.0/12", "172.32.0.0", false},
                          {"192.0.2.1", "192.0.2.1", true},
                          {"0.0.0.0/0", "8.8.8.8", true},
                          {"0.0.0.0/0", "::1", false},
                          {"fd00::/8", "fd12::1", true},
                          {"2001:db8::/33", "2001:db8:8000::1", false}}) {
        INFO(c.network << " " << c.address);
        CHECK(parse_network(c.network).value().contains(address(c.address)) == c.inside);
    }
    for (const char* bad : {"10.0.0.0/33", "10.0.0.1/8", "10/8", "x/8", "fd00::/129", "10.0.0.0/"})
        CHECK_FALSE(parse_network(bad));
}

TEST_CASE("only routable addresses get media before they were heard")
{
    const Network lan[] = {parse_network("192.168.0.0/16").value(),
                           parse_network("127.0.0.0/8").value()};
    CHECK(is_routable(address("8.8.8.8"), {}));
    CHECK(is_routable(address("2600::1"), {}));
    for (const char* text :
         {"10.1.2.3", "100.64.0.1", "127.0.0.1", "169.254.1.1", "172.20.0.1", "192.0.2.1",
          "198.18.0.1", "203.0.113.9", "240.0.0.1", "0.0.0.0", "224.0.0.1", "::", "::1", "fe80::1",
          "fd00::1", "2001:db8::1", "ff02::1"}) {
        INFO(text);
        CHECK_FALSE(is_routable(address(text), {}));
    }
    CHECK(is_routable(address("192.168.1.1"), lan));
    CHECK(is_routable(address("127.0.0.1"), lan));
    CHECK_FALSE(is_routable(address("10.0.0.1"), lan));
}
