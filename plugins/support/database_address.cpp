// SPDX-License-Identifier: GPL-2.0-or-later
#include "support/database_address.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

namespace mediaproxy::plugin_support
{

namespace
{

/// Nothing when a % is not followed by two hexadecimal digits, or is a zero byte's.
std::optional<std::string> decode(std::string_view text)
{
    std::string result;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            result += text[i];
            continue;
        }
        unsigned value = 0;
        const std::string_view digits = text.substr(i + 1, 2);
        const auto [end, error] =
            std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
        if (digits.size() < 2 || error != std::errc{} || end != digits.data() + 2 || value == 0)
            return std::nullopt;
        result += static_cast<char>(value);
        i += 2;
    }
    return result;
}

/// Splits at the first `separator`; the rest is empty when there is none.
std::pair<std::string_view, std::string_view> split(std::string_view text, char separator)
{
    const std::size_t at = text.find(separator);
    if (at == std::string_view::npos)
        return {text, {}};
    return {text.substr(0, at), text.substr(at + 1)};
}

bool is_scheme(std::string_view text)
{
    const auto fine = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '.' || c == '-';
    };
    return !text.empty() && std::all_of(text.begin(), text.end(), fine);
}

/// Decodes the parts one after the other and keeps what went wrong first.
class Reader
{
public:
    void read(std::string& part, std::string_view text, const char* name)
    {
        if (auto decoded = decode(text))
            part = *std::move(decoded);
        else
            complain(std::string("a % without two hexadecimal digits in the ") + name +
                     "; write %25 for %");
    }
    void read_port(std::uint16_t& port, std::string_view text)
    {
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
        if (error != std::errc{} || end != text.data() + text.size() || port == 0)
            complain("no port from 1 to 65535 behind the host"); // it may be a password
    }
    void complain(std::string sentence)
    {
        if (wrong_.empty())
            wrong_ = std::move(sentence);
    }
    const std::string& wrong() const { return wrong_; }

private:
    std::string wrong_;
};

void read_host(Reader& reader, DatabaseAddress& address, std::string_view text)
{
    if (text.starts_with('[')) {
        const std::size_t end = text.find(']');
        const std::string_view rest = text.substr(std::min(end, text.size() - 1) + 1);
        if (end == std::string_view::npos || !(rest.empty() || rest.starts_with(':')))
            return reader.complain("an IPv6 address is written [address] or [address]:port");
        reader.read(address.host, text.substr(1, end - 1), "host");
        if (!rest.empty())
            reader.read_port(address.port, rest.substr(1));
        return;
    }
    const auto [host, port] = split(text, ':');
    reader.read(address.host, host, "host");
    if (host.size() < text.size())
        reader.read_port(address.port, port);
}

void read_options(Reader& reader, DatabaseAddress& address, std::string_view text)
{
    while (!text.empty()) {
        const auto [option, rest] = split(text, '&');
        const auto [key, value] = split(option, '=');
        auto& [known_as, is] = address.options.emplace_back();
        reader.read(known_as, key, "options");
        reader.read(is, value, "options");
        text = rest;
    }
}

} // namespace

std::variant<DatabaseAddress, std::string> parse_dburi(std::string_view text)
{
    const std::size_t colon = text.find("://");
    if (colon == std::string_view::npos || !is_scheme(text.substr(0, colon)))
        return std::string("not scheme://user:password@host:port/database");
    Reader reader;
    DatabaseAddress address;
    address.scheme = text.substr(0, colon);
    const std::string_view rest = text.substr(colon + 3);
    // Old files have passwords with / ? @ in them as they are: the last @ says where they end.
    const std::size_t at = rest.starts_with('/') ? std::string_view::npos : rest.rfind('@');
    if (at != std::string_view::npos) {
        const auto [user, password] = split(rest.substr(0, at), ':');
        reader.read(address.user, user, "user");
        reader.read(address.password, password, "password");
    }
    const auto [place, options] =
        split(at == std::string_view::npos ? rest : rest.substr(at + 1), '?');
    const auto [host, database] = split(place, '/');
    read_host(reader, address, host);
    reader.read(address.database, database, "database");
    read_options(reader, address, options);
    if (!reader.wrong().empty())
        return reader.wrong();
    return address;
}

} // namespace mediaproxy::plugin_support
