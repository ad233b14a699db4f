// SPDX-License-Identifier: GPL-2.0-or-later
#include "elements.hpp"

#include <string_view>

#include <arpa/inet.h>
#include <endian.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>

#include "support/attributes.hpp"

namespace forwarding_nftables
{

using mediaproxy::plugin_support::find_attribute;
using mediaproxy::plugin_support::for_each_attribute;

namespace
{

void put_value(nlmsghdr& message, std::uint16_t type, std::span<const std::byte> bytes)
{
    nlattr* nest = mnl_attr_nest_start(&message, type);
    mnl_attr_put(&message, NFTA_DATA_VALUE, bytes.size(), bytes.data());
    mnl_attr_nest_end(&message, nest);
}

std::span<const std::byte> value_of(const nlattr* nest)
{
    const nlattr* value = nest == nullptr ? nullptr : find_attribute(*nest, NFTA_DATA_VALUE);
    if (value == nullptr)
        return {};
    return {static_cast<const std::byte*>(mnl_attr_get_payload(value)),
            mnl_attr_get_payload_len(value)};
}

std::uint64_t number_of(const nlattr* nest, std::uint16_t type)
{
    const nlattr* attribute = find_attribute(*nest, type);
    return attribute == nullptr ? 0 : be64toh(mnl_attr_get_u64(attribute));
}

mp_traffic counter_of(const nlattr* expression)
{
    const nlattr* name = find_attribute(*expression, NFTA_EXPR_NAME);
    const nlattr* data = find_attribute(*expression, NFTA_EXPR_DATA);
    if (name == nullptr || data == nullptr || std::string_view(mnl_attr_get_str(name)) != "counter")
        return {};
    return {number_of(data, NFTA_COUNTER_PACKETS), number_of(data, NFTA_COUNTER_BYTES)};
}

void read_element(const nlattr* element, const OnElement& on_element)
{
    const auto bytes = value_of(find_attribute(*element, NFTA_SET_ELEM_KEY));
    if (bytes.size() != key_size(Family::ipv4) && bytes.size() != key_size(Family::ipv6))
        return;
    Key key;
    key.append(bytes.data(), bytes.size());
    mp_traffic counted{};
    if (const nlattr* one = find_attribute(*element, NFTA_SET_ELEM_EXPR); one != nullptr)
        counted = counter_of(one);
    else if (const nlattr* several = find_attribute(*element, NFTA_SET_ELEM_EXPRESSIONS);
             several != nullptr)
        if (const nlattr* first = find_attribute(*several, NFTA_LIST_ELEM); first != nullptr)
            counted = counter_of(first);
    on_element(key, value_of(find_attribute(*element, NFTA_SET_ELEM_DATA)), counted);
}

} // namespace

std::size_t KeyHash::operator()(const Key& key) const noexcept
{
    const auto bytes = key.bytes();
    return std::hash<std::string_view>{}(
        {reinterpret_cast<const char*>(bytes.data()), bytes.size()});
}

Key make_key(Family family, const mp_endpoint& source, const mp_endpoint& destination) noexcept
{
    Key key;
    const std::uint16_t from = htons(source.port), to = htons(destination.port);
    key.append(source.address, address_size(family));
    key.append(destination.address, address_size(family));
    key.append(&from, sizeof from);
    key.append(&to, sizeof to);
    return key;
}

Data make_data(Family family, const mp_endpoint& source, const mp_endpoint& destination,
               const Hop* hop) noexcept
{
    Data data;
    // Ports are fields of four bytes of which two are used. The rule writes both ports at once, so
    // the unused two behind the first port hold the second one; `nft list` reads each from its own.
    const std::uint16_t ports[] = {htons(source.port), htons(destination.port)};
    data.append(source.address, address_size(family));
    data.append(destination.address, address_size(family));
    data.append(ports, sizeof ports);
    data.append(&ports[1], sizeof ports[1]);
    if (hop != nullptr) {
        data.append(&hop->device, sizeof hop->device);
        data.append(hop->address.data(), address_size(family));
    }
    return data;
}

void put_elements(nlmsghdr& message, const MapPlace& place, std::span<const Key> keys,
                  std::span<const Data> data)
{
    mnl_attr_put_strz(&message, NFTA_SET_ELEM_LIST_TABLE, place.table);
    mnl_attr_put_strz(&message, NFTA_SET_ELEM_LIST_SET, place.map);
    nlattr* list = mnl_attr_nest_start(&message, NFTA_SET_ELEM_LIST_ELEMENTS);
    for (std::size_t i = 0; i < keys.size(); ++i) {
        nlattr* element = mnl_attr_nest_start(&message, NFTA_LIST_ELEM);
        put_value(message, NFTA_SET_ELEM_KEY, keys[i].bytes());
        if (!data.empty())
            put_value(message, NFTA_SET_ELEM_DATA, data[i].bytes());
        mnl_attr_nest_end(&message, element);
    }
    mnl_attr_nest_end(&message, list);
}

void for_each_element(const nlmsghdr& message, const OnElement& on_element)
{
    const int type = message.nlmsg_type & 0xff;
    if (message.nlmsg_type >> 8 != NFNL_SUBSYS_NFTABLES ||
        (type != NFT_MSG_NEWSETELEM && type != NFT_MSG_DELSETELEM))
        return;
    for_each_attribute(message, sizeof(nfgenmsg), [&](const nlattr& attribute) {
        if (mnl_attr_get_type(&attribute) == NFTA_SET_ELEM_LIST_ELEMENTS)
            for_each_attribute(attribute,
                               [&](const nlattr& element) { read_element(&element, on_element); });
    });
}

} // namespace forwarding_nftables
