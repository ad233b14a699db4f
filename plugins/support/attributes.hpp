// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>

#include <linux/netlink.h>

namespace mediaproxy::plugin_support
{

/// Attributes in their order; they end where one is not whole. What libmnl has for this are calls of
/// a library, a hundred for each flow whose last counters are told: a tenth of what its removal costs.
class Attributes
{
public:
    /// Those of a message behind a header of `header` bytes.
    Attributes(const nlmsghdr& message, std::size_t header)
        : at_(reinterpret_cast<const char*>(&message) + NLMSG_HDRLEN + NLMSG_ALIGN(header)),
          end_(reinterpret_cast<const char*>(&message) + message.nlmsg_len)
    {
    }
    /// Those inside another one.
    explicit Attributes(const nlattr& nest)
        : at_(reinterpret_cast<const char*>(&nest) + NLA_HDRLEN),
          end_(reinterpret_cast<const char*>(&nest) + nest.nla_len)
    {
    }
    /// Null: there are no more.
    const nlattr* next()
    {
        const auto left = end_ - at_;
        const auto* attribute = reinterpret_cast<const nlattr*>(at_);
        if (left < NLA_HDRLEN || attribute->nla_len < NLA_HDRLEN || attribute->nla_len > left)
            return nullptr;
        at_ += NLA_ALIGN(attribute->nla_len);
        return attribute;
    }

private:
    const char* at_;
    const char* end_;
};

inline int type_of(const nlattr& attribute)
{
    return attribute.nla_type & NLA_TYPE_MASK;
}

/// Calls `each(const nlattr&)` for the attributes of a message behind a header of `header` bytes.
template <class Each>
void for_each_attribute(const nlmsghdr& message, std::size_t header, Each&& each)
{
    Attributes attributes(message, header);
    while (const nlattr* attribute = attributes.next())
        each(*attribute);
}

/// The same for those inside another one.
template <class Each>
void for_each_attribute(const nlattr& nest, Each&& each)
{
    Attributes attributes(nest);
    while (const nlattr* attribute = attributes.next())
        each(*attribute);
}

/// The first attribute `type` directly inside `nest`; null when it has none.
inline const nlattr* find_attribute(const nlattr& nest, int type)
{
    Attributes attributes(nest);
    while (const nlattr* attribute = attributes.next()) {
        if (type_of(*attribute) == type)
            return attribute;
    }
    return nullptr;
}

} // namespace mediaproxy::plugin_support
