// SPDX-License-Identifier: GPL-2.0-or-later
#include "client_file.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <fstream>
#include <iterator>
#include <utility>

namespace mediaproxy::accounting_radius
{

namespace
{

constexpr std::string_view blanks = " \t\r";

std::string_view trim(std::string_view text)
{
    const std::size_t first = text.find_first_not_of(blanks);
    if (first == text.npos)
        return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

/// Takes the first word, up to one of `ends`, off `rest`.
std::string_view take_word(std::string_view& rest, std::string_view ends)
{
    const std::size_t first = rest.find_first_not_of(ends);
    rest.remove_prefix(std::min(first, rest.size()));
    const std::string_view word = rest.substr(0, rest.find_first_of(ends));
    rest.remove_prefix(word.size());
    return word;
}

/// Calls `each(line)` without comments and the blanks around; lines that are empty then come too.
template <class Each>
void for_each_line(std::string_view text, Each each)
{
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        // A secret may contain the sign.
        for (std::size_t at = line.find('#'); at != line.npos; at = line.find('#', at + 1)) {
            if (at == 0 || blanks.find(line[at - 1]) != blanks.npos)
                line = line.substr(0, at);
        }
        each(trim(line));
    }
}

template <class Number>
std::optional<Number> parse_number(std::string_view text, Number least, Number most)
{
    Number number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{} || end != text.data() + text.size() || number < least || number > most)
        return std::nullopt;
    return number;
}

bool is_ipv6(const std::string& text)
{
    in6_addr address{};
    return ::inet_pton(AF_INET6, text.c_str(), &address) == 1;
}

/// HOST, HOST:PORT, HOST:PORT:SECRET, the same with [IPV6] for HOST, and IPV6.
std::optional<NamedServer> parse_server(std::string_view text)
{
    NamedServer server;
    if (is_ipv6(std::string(text))) {
        server.host = text;
        return server;
    }
    const std::size_t bracket = text.starts_with('[') ? text.find(']') : 0;
    if (bracket == text.npos)
        return std::nullopt;
    const std::size_t colon = std::min(text.find(':', bracket), text.size());
    server.host = bracket == 0 ? text.substr(0, colon) : text.substr(1, bracket - 1);
    const bool rubbish_behind_bracket = bracket != 0 && colon != bracket + 1;
    if (server.host.empty() || rubbish_behind_bracket)
        return std::nullopt;

    std::string_view rest = text.substr(colon);
    if (rest.empty())
        return server;
    rest.remove_prefix(1);
    const std::string_view port = rest.substr(0, rest.find(':'));
    rest.remove_prefix(std::min(port.size() + 1, rest.size()));
    server.secret = rest;
    if (port.empty())
        return server;
    const auto number = parse_number<std::uint16_t>(port, 1, 65535);
    server.port = number.value_or(0);
    return number ? std::optional(server) : std::nullopt;
}

struct NumberKey {
    std::string_view key;
    int least, most;
    void (*set)(ClientFile&, int);
};

constexpr std::array number_keys{
    NumberKey{"radius_timeout", 1, 300,
              [](ClientFile& file, int value) { file.timeout = std::chrono::seconds(value); }},
    NumberKey{"radius_retries", 0, 100,
              [](ClientFile& file, int value) { file.tries = std::max(value, 1); }},
    NumberKey{"radius_deadtime", 0, 86400,
              [](ClientFile& file, int value) { file.dead_time = std::chrono::seconds(value); }},
};

/// What is wrong with the line; "": nothing.
std::string apply(ClientFile& file, std::string_view key, std::string_view value)
{
    const auto* const number_key =
        std::find_if(number_keys.begin(), number_keys.end(),
                     [&](const NumberKey& candidate) { return candidate.key == key; });
    if (number_key != number_keys.end()) {
        const auto number = parse_number(value, number_key->least, number_key->most);
        if (!number)
            return "not a number from " + std::to_string(number_key->least) + " to " +
                   std::to_string(number_key->most) + ": " + std::string(value);
        number_key->set(file, *number);
    } else if (key == "acctserver") {
        while (true) {
            const std::string_view word = take_word(value, ", \t");
            if (word.empty())
                break;
            auto server = parse_server(word);
            if (!server)
                return "not HOST[:PORT[:SECRET]], with IPv6 addresses in brackets";
            file.servers.push_back(*std::move(server));
        }
    } else if (key == "servers") {
        file.secrets_file = value;
    } else if (key == "dictionary") {
        file.dictionary = value;
    } else if (key == "bindaddr") {
        file.bind_address = value == "*" ? std::string_view() : value;
    } else if ((key == "serv-type" || key == "serv-auth-type") && value != "udp") {
        return "this plugin knows udp only: " + std::string(value);
    } else if (key == "namespace") {
        return "this plugin sends from the daemon's own network namespace only";
    }
    return {};
}

} // namespace

Result<ClientFile> parse_client_file(std::string_view text, const std::string& path)
{
    ClientFile file;
    std::string wrong;
    int number = 0;
    for_each_line(text, [&](std::string_view line) {
        ++number;
        std::string_view value = line;
        const std::string_view key = take_word(value, blanks);
        value = trim(value);
        if (!wrong.empty() || value.empty())
            return;
        wrong = apply(file, key, value);
        if (!wrong.empty())
            wrong = path + ":" + std::to_string(number) + ": " + std::string(key) + ": " + wrong;
    });
    if (wrong.empty() && file.servers.empty())
        wrong = path + ": no acctserver in it";
    if (!wrong.empty())
        return Failure{wrong};
    return file;
}

Secrets Secrets::parse(std::string_view text)
{
    Secrets secrets;
    for_each_line(text, [&](std::string_view line) {
        const std::string_view name = take_word(line, blanks);
        const std::string_view secret = take_word(line, blanks);
        if (!secret.empty())
            secrets.lines_.push_back({std::string(name), std::string(secret)});
    });
    return secrets;
}

/// A line's name may be a pair CLIENT/SERVER, in either order.
std::optional<std::string> Secrets::find(const std::string& host) const
{
    const auto is_host = [&](std::string_view name) {
        return name.size() == host.size() &&
               ::strncasecmp(name.data(), host.data(), host.size()) == 0;
    };
    for (const Line& line : lines_) {
        std::string_view rest = line.name;
        for (std::string_view name = take_word(rest, "/"); !name.empty();
             name = take_word(rest, "/")) {
            if (is_host(name))
                return line.secret;
        }
    }
    return std::nullopt;
}

Result<std::string> read_file(const std::string& path)
{
    std::ifstream file(path, std::ios::binary);
    std::string text{std::istreambuf_iterator<char>(file), {}};
    if (!file)
        return Failure{path + ": " + std::strerror(errno)};
    return text;
}

std::string path_beside(const std::string& file, const std::string& path)
{
    const std::size_t slash = file.rfind('/');
    if (path.starts_with('/') || slash == file.npos)
        return path;
    return file.substr(0, slash + 1) + path;
}

} // namespace mediaproxy::accounting_radius
