// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>

namespace mediaproxy::accounting_odbc
{

/// Of text that is UTF-8.
std::u16string to_utf16(std::string_view text);

/// A surrogate without its other half becomes U+FFFD.
std::string to_utf8(std::u16string_view text);

} // namespace mediaproxy::accounting_odbc
