// SPDX-License-Identifier: GPL-2.0-or-later
// What the kernel tells of an entry, whole and not; needs no kernel.
#include <catch2/catch.hpp>

#include <array>
#include <cstddef>
#include <cstring>
#include <memory>

#include <arpa/inet.h>
#include <endian.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "../../plugins/forwarding_conntrack/kernel_entry.hpp"
#include "support/attributes.hpp"

using namespace forwarding_conntrack;
using mediaproxy::plugin_support::for_each_attribute;
using mediaproxy::plugin_support::type_of;

namespace
{

using Address = std::array<std::uint8_t, 16>;

constexpr Address alice{192, 0, 2, 1}, relay{198, 51, 100, 1}, bob{203, 0, 113, 1};

class Answer
{
public:
    Answer()
    {
        mnl_nlmsg_put_header(bytes_.data());
        mnl_nlmsg_put_extra_header(&message(), sizeof(nfgenmsg));
    }

    nlmsghdr& message() { return *reinterpret_cast<nlmsghdr*>(bytes_.data()); }

    void tuple(std::uint16_t type, std::size_t address_size, const Address& source,
               std::uint16_t source_port, const Address& destination, std::uint16_t port)
    {
        const bool v4 = address_size == 4;
        nlattr* tuple = mnl_attr_nest_start(&message(), type);
        nlattr* addresses = mnl_attr_nest_start(&message(), CTA_TUPLE_IP);
        mnl_attr_put(&message(), v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, address_size, source.data());
        mnl_attr_put(&message(), v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, address_size,
                     destination.data());
        mnl_attr_nest_end(&message(), addresses);
        nlattr* ports = mnl_attr_nest_start(&message(), CTA_TUPLE_PROTO);
        mnl_attr_put_u8(&message(), CTA_PROTO_NUM, IPPROTO_UDP);
        mnl_attr_put_u16(&message(), CTA_PROTO_SRC_PORT, htons(source_port));
        mnl_attr_put_u16(&message(), CTA_PROTO_DST_PORT, htons(port));
        mnl_attr_nest_end(&message(), ports);
        mnl_attr_nest_end(&message(), tuple);
    }

    void counters(std::uint16_t type, std::uint64_t packets, std::uint64_t bytes)
    {
        nlattr* nest = mnl_attr_nest_start(&message(), type);
        mnl_attr_put_u64(&message(), CTA_COUNTERS_PACKETS, htobe64(packets));
        mnl_attr_put_u64(&message(), CTA_COUNTERS_BYTES, htobe64(bytes));
        mnl_attr_nest_end(&message(), nest);
    }

private:
    alignas(nlmsghdr) std::array<std::byte, 1024> bytes_{};
};

/// As Linux tells it: attributes that we do not ask for are in it, too.
Answer whole(std::size_t address_size = 4)
{
    Answer answer;
    answer.tuple(CTA_TUPLE_ORIG, address_size, alice, 4000, relay, 50000);
    answer.tuple(CTA_TUPLE_REPLY, address_size, bob, 6000, relay, 50002);
    mnl_attr_put_u16(&answer.message(), CTA_ZONE, htons(19792));
    mnl_attr_put_u32(&answer.message(), CTA_STATUS, htonl(0x1be));
    mnl_attr_put_u32(&answer.message(), CTA_TIMEOUT, htonl(119));
    answer.counters(CTA_COUNTERS_ORIG, 5'000'000'000, 860'000'000'000);
    answer.counters(CTA_COUNTERS_REPLY, 7, 1204);
    mnl_attr_put_u32(&answer.message(), CTA_MARK, htonl(0xabcdef01));
    mnl_attr_put_u32(&answer.message(), CTA_ID, htonl(1));
    mnl_attr_put_u32(&answer.message(), CTA_USE, htonl(1));
    return answer;
}

void check_endpoint(const mp_endpoint& endpoint, std::size_t address_size, const Address& address,
                    std::uint16_t port)
{
    CHECK(endpoint.family == (address_size == 4 ? 4 : 6));
    CHECK(endpoint.port == port);
    CHECK(std::memcmp(endpoint.address, address.data(), address_size) == 0);
}

} // namespace

TEST_CASE("an entry is told with both directions, counters, mark, zone and timeout")
{
    const std::size_t size = GENERATE(4, 16);
    Answer answer = whole(size);
    const KernelEntry entry = to_entry(answer.message());
    check_endpoint(entry.flow.caller_remote, size, alice, 4000);
    check_endpoint(entry.flow.caller_local, size, relay, 50000);
    check_endpoint(entry.flow.callee_remote, size, bob, 6000);
    check_endpoint(entry.flow.callee_local, size, relay, 50002);
    CHECK(entry.traffic[0].packets == 5'000'000'000);
    CHECK(entry.traffic[0].bytes == 860'000'000'000);
    CHECK(entry.traffic[1].packets == 7);
    CHECK(entry.traffic[1].bytes == 1204);
    CHECK(entry.mark == 0xabcdef01);
    CHECK(entry.zone == 19792);
    CHECK(entry.timeout_s == 119);
}

TEST_CASE("what the kernel does not tell of an entry is 0")
{
    Answer answer; // nf_conntrack_acct was off when it was made, and it has no zone and no mark
    answer.tuple(CTA_TUPLE_ORIG, 4, alice, 4000, relay, 50000);
    const KernelEntry entry = to_entry(answer.message());
    check_endpoint(entry.flow.caller_remote, 4, alice, 4000);
    CHECK(entry.flow.callee_remote.family == 0);
    CHECK(entry.traffic[0].packets == 0);
    CHECK(entry.mark == 0);
    CHECK(entry.zone == 0);
    CHECK(entry.timeout_s == 0);
}

TEST_CASE("an attribute of another size than expected is not taken")
{
    Answer answer;
    answer.tuple(CTA_TUPLE_ORIG, 8, alice, 4000, relay, 50000);
    mnl_attr_put_u8(&answer.message(), CTA_MARK, 1);
    mnl_attr_put_u64(&answer.message(), CTA_TIMEOUT, ~std::uint64_t{0});
    mnl_attr_put(&answer.message(), CTA_ZONE, 0, nullptr);
    const KernelEntry entry = to_entry(answer.message());
    CHECK(entry.flow.caller_remote.family == 0);
    CHECK(entry.flow.caller_remote.port == 4000);
    CHECK(entry.mark == 0);
    CHECK(entry.timeout_s == 0);
    CHECK(entry.zone == 0);
}

TEST_CASE("of an answer that is cut off, what is whole is taken")
{
    Answer answer = whole();
    const nlmsghdr& complete = answer.message();
    const auto end_of = [&](std::uint16_t type) {
        std::uint32_t end = 0;
        for_each_attribute(complete, sizeof(nfgenmsg), [&](const nlattr& attribute) {
            if (type_of(attribute) == type)
                end = static_cast<std::uint32_t>(reinterpret_cast<const char*>(&attribute) -
                                                 reinterpret_cast<const char*>(&complete)) +
                      attribute.nla_len;
        });
        REQUIRE(end != 0);
        return end;
    };
    const std::uint32_t zone = end_of(CTA_ZONE), counters = end_of(CTA_COUNTERS_ORIG),
                        mark = end_of(CTA_MARK);
    for (std::uint32_t cut = NLMSG_HDRLEN; cut <= complete.nlmsg_len; ++cut) {
        // Of exactly that size, so that a sanitizer sees who reads on.
        const auto room = std::make_unique<std::byte[]>(cut);
        std::memcpy(room.get(), &complete, cut);
        auto& message = *reinterpret_cast<nlmsghdr*>(room.get());
        message.nlmsg_len = cut;
        const KernelEntry entry = to_entry(message);
        CHECK(entry.zone == (cut >= zone ? 19792 : 0));
        CHECK(entry.traffic[0].packets == (cut >= counters ? 5'000'000'000 : 0));
        CHECK(entry.mark == (cut >= mark ? 0xabcdef01 : 0));
    }
}

TEST_CASE("an attribute that is longer than the one it lies in is not taken")
{
    Answer answer = whole();
    auto& tuple = *reinterpret_cast<nlattr*>(reinterpret_cast<char*>(&answer.message()) +
                                             NLMSG_LENGTH(sizeof(nfgenmsg)));
    auto& addresses = *reinterpret_cast<nlattr*>(reinterpret_cast<char*>(&tuple) + NLA_HDRLEN);
    REQUIRE(type_of(addresses) == CTA_TUPLE_IP);
    addresses.nla_len = static_cast<std::uint16_t>(tuple.nla_len + 1);
    const KernelEntry entry = to_entry(answer.message());
    CHECK(entry.flow.caller_remote.family == 0);
    CHECK(entry.flow.caller_remote.port == 0);
    check_endpoint(entry.flow.callee_remote, 4, bob, 6000);
}
