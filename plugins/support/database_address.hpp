// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace mediaproxy::plugin_support
{

/// Where a database is, and as whom to go there. What is not known is empty or 0.
struct DatabaseAddress {
    std::string scheme;
    std::string user;
    std::string password;
    std::string host; ///< a name, or an IP address without brackets; `/...` is a socket's path
    std::uint16_t port = 0;
    std::string database; ///< for a file its path without the first slash
    std::vector<std::pair<std::string, std::string>> options; ///< behind `?`, in order
};

/// `scheme://[user[:password]@]host[:port]/database[?key=value&...]`, each part percent-encoded, an
/// IPv6 address in brackets. The last `@` ends the password, which may hold others. Else a
/// sentence, without the password, that says what is wrong.
std::variant<DatabaseAddress, std::string> parse_dburi(std::string_view text);

} // namespace mediaproxy::plugin_support
