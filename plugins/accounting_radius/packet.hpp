// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attributes.hpp"
#include "dictionary.hpp"

namespace mediaproxy::accounting_radius
{

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

/// The text, or as many of its whole UTF-8 characters as fit.
std::string_view cut_to_bytes(std::string_view text, std::size_t most) noexcept;

/// Appends an attribute, its text cut to what it can hold (RFC 2865 section 5); false: it was cut.
bool append_attribute(Bytes& attributes, const Number& number, const Value& value);

/// An Accounting-Request (RFC 2866 section 3). At most 4,076 bytes of attributes fit; ours are far
/// fewer.
Bytes make_request(std::uint8_t identifier, ByteView attributes, const std::string& secret);

/// Whether the datagram is the Accounting-Response of a server that got this request and has the
/// secret.
bool acknowledges(ByteView datagram, ByteView request, const std::string& secret);

} // namespace mediaproxy::accounting_radius
