// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include <mediaproxy/accounting.h>

namespace mediaproxy::accounting_radius
{

using Ipv4 = std::array<std::uint8_t, 4>;
using Ipv6 = std::array<std::uint8_t, 16>;

/// In the order of Kind.
using Value = std::variant<std::string, std::uint32_t, Ipv4, Ipv6>;
enum class Kind { text, integer, ipv4, ipv6 };

/// An attribute by its name in dictionaries; text is whole, however long.
struct Attribute {
    std::string name;
    Value value;

    Kind kind() const noexcept { return static_cast<Kind>(value.index()); }
};

/// What is not in the record.
struct Choices {
    std::uint32_t status_type = 3; ///< Acct-Status-Type, RFC 2866 section 5.1
    std::string record_id_attribute;
    bool event_timestamp = false;
};

/// The attributes of an Accounting-Request for this record. What is not known is left out, and so
/// is what is empty: RFC 2865 section 5 forbids text of length zero.
std::vector<Attribute> attributes_of(const mp_session_record& record, const Choices& choices);

/// Every attribute that attributes_of() may give.
std::vector<Attribute> possible_attributes(const Choices& choices);

} // namespace mediaproxy::accounting_radius
