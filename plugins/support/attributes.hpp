// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>

#include <libmnl/libmnl.h>

namespace mediaproxy::plugin_support
{

/// Calls `each(const nlattr&)` for the attributes of a message behind a header of `header` bytes.
template <class Each>
void for_each_attribute(const nlmsghdr& message, std::size_t header, Each&& each)
{
    const auto* attribute =
        static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(&message, header));
    const auto* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(&message));
    for (; mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)));
         attribute = mnl_attr_next(attribute))
        each(*attribute);
}

/// The same for those inside another one.
template <class Each>
void for_each_attribute(const nlattr& nest, Each&& each)
{
    const auto* attribute = static_cast<const nlattr*>(mnl_attr_get_payload(&nest));
    const char* end = reinterpret_cast<const char*>(attribute) + mnl_attr_get_payload_len(&nest);
    for (; mnl_attr_ok(attribute, static_cast<int>(end - reinterpret_cast<const char*>(attribute)));
         attribute = mnl_attr_next(attribute))
        each(*attribute);
}

/// The attribute `type` directly inside `nest`; null when it has none.
inline const nlattr* find_attribute(const nlattr& nest, int type)
{
    const nlattr* found = nullptr;
    for_each_attribute(nest, [&](const nlattr& attribute) {
        if (found == nullptr && mnl_attr_get_type(&attribute) == type)
            found = &attribute;
    });
    return found;
}

} // namespace mediaproxy::plugin_support
