// SPDX-License-Identifier: GPL-2.0-or-later
#include "connection_string.hpp"

#include <string_view>

namespace mediaproxy::accounting_odbc
{

namespace
{

/// In braces when it has to be: some drivers take them for a part of the value.
std::string escaped(std::string_view value)
{
    if (value.find_first_of("[]{}(),;?*=!@ '\"") == value.npos)
        return std::string(value);
    std::string result = "{";
    for (const char c : value)
        result += c == '}' ? std::string("}}") : std::string(1, c);
    return result + "}";
}

void append(std::string& text, std::string_view word, std::string_view value)
{
    if (!word.empty() && !value.empty())
        text += std::string(word) + "=" + escaped(value) + ";";
}

} // namespace

std::string connection_string(const Options& options)
{
    const Dialect& dialect = options.dialect != nullptr ? *options.dialect : dialect_of("");
    const auto& address = options.server.address;
    const std::string port = address.port == 0 ? "" : std::to_string(address.port);
    std::string text;
    append(text, "DSN", options.dsn);
    append(text, "DRIVER", options.driver);
    if (dialect.port_word.empty() && !address.host.empty() && !port.empty())
        append(text, dialect.server_word, address.host + ":" + port);
    else
        append(text, dialect.server_word, address.host);
    append(text, dialect.port_word, port);
    append(text, dialect.database_word, address.database);
    append(text, "UID", address.user);
    append(text, "PWD", address.password);
    return text + options.more;
}

std::string place_of(const Options& options)
{
    const auto& address = options.server.address;
    std::string place = "odbc:" + (options.dsn.empty() ? options.driver : options.dsn);
    if (!address.host.empty())
        place += " at " + address.host;
    if (address.port != 0)
        place += ":" + std::to_string(address.port);
    if (!address.database.empty())
        place += ", database " + address.database;
    return place;
}

} // namespace mediaproxy::accounting_odbc
