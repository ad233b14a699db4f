// SPDX-License-Identifier: GPL-2.0-or-later
#include "config/codec.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <fmt/format.h>

#include "base/text.hpp"

namespace mediaproxy::config
{

namespace
{

/// The parts of an array of texts, or of one text between blanks and commas.
std::optional<std::vector<std::string>> read_words(const Value& value)
{
    std::vector<std::string> words;
    if (const std::string* const line = std::get_if<std::string>(&value.data)) {
        std::string blanks = *line;
        std::replace(blanks.begin(), blanks.end(), ',', ' ');
        for (const std::string_view word : text::split(blanks, ' ')) {
            if (!word.empty())
                words.emplace_back(word);
        }
        return words;
    }
    const Value::Array* const array = std::get_if<Value::Array>(&value.data);
    if (array == nullptr)
        return std::nullopt;
    for (const Value& element : *array) {
        const std::string* const word = std::get_if<std::string>(&element.data);
        if (word == nullptr || word->empty())
            return std::nullopt;
        words.push_back(*word);
    }
    return words;
}

/// Each word by `parse`, which returns a Result or an optional.
template <class T, class Parse>
std::optional<std::vector<T>> read_each(const Value& value, Parse parse)
{
    const auto words = read_words(value);
    if (!words)
        return std::nullopt;
    std::vector<T> all;
    for (const std::string& word : *words) {
        auto one = parse(word);
        if (!one)
            return std::nullopt;
        all.push_back(std::move(*one));
    }
    return all;
}

template <class T, class Show>
std::string print_each(const std::vector<T>& values, Show show)
{
    std::string list;
    for (const T& value : values)
        list += (list.empty() ? "" : ", ") + quote(show(value));
    return "[" + list + "]";
}

std::optional<relay::Options::Dispatcher> parse_dispatcher(std::string_view word)
{
    relay::Options::Dispatcher dispatcher;
    if (const auto alone = net::Address::parse(word); alone) {
        dispatcher.host = word;
        return dispatcher;
    }
    const bool bracketed = word.starts_with('[');
    const std::size_t colon = word.rfind(':');
    const bool has_port = colon != std::string_view::npos && word.find(']', colon) == word.npos;
    std::string_view host = word.substr(0, has_port ? colon : word.size());
    if (has_port) {
        const auto port = text::parse_number<net::Port>(word.substr(colon + 1));
        if (!port || *port == 0)
            return std::nullopt;
        dispatcher.port = *port;
    }
    if (bracketed) {
        if (!host.ends_with(']') || !net::Address::parse(host.substr(1, host.size() - 2)))
            return std::nullopt;
        host = host.substr(1, host.size() - 2);
    }
    const bool plain = std::all_of(host.begin(), host.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_';
    });
    if (host.empty() || host.size() > 253 || (!bracketed && !plain))
        return std::nullopt;
    dispatcher.host = host;
    return dispatcher;
}

/// "10.0.0.1:25060", "any:25060"; port 0 is one that the system chooses.
Result<net::Endpoint> parse_listen(const std::string& word)
{
    constexpr std::string_view any = "any:";
    return net::parse_endpoint(word.starts_with(any) ? "0.0.0.0:" + word.substr(any.size()) : word);
}

} // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept
{
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](unsigned char x, unsigned char y) {
        return std::tolower(x) == std::tolower(y);
    });
}

std::optional<bool> Flag::read(const Value& value) const
{
    const bool* const flag = std::get_if<bool>(&value.data);
    return flag == nullptr ? std::nullopt : std::optional(*flag);
}

std::optional<std::string> Text::read(const Value& value) const
{
    const std::string* const string = std::get_if<std::string>(&value.data);
    if (string == nullptr || (string->empty() && empty == Empty::refused))
        return std::nullopt;
    const bool control = std::any_of(string->begin(), string->end(),
                                     [](unsigned char c) { return c < 0x20 || c == 0x7f; });
    return control ? std::nullopt : std::optional(*string);
}

std::optional<std::vector<std::string>> Texts::read(const Value& value) const
{
    return read_words(value);
}

std::string Texts::print(const std::vector<std::string>& values) const
{
    return print_each(values, [](const std::string& value) { return value; });
}

std::optional<std::vector<std::string>> BackEnds::read(const Value& value) const
{
    auto names = read_words(value);
    if (!names || (names->empty() && std::holds_alternative<std::string>(value.data)))
        return std::nullopt;
    if (names->size() == 1 && names->front() == "none")
        return std::vector<std::string>{};
    for (auto name = names->begin(); name != names->end(); ++name) {
        if (name->empty() || *name == "none" || std::find(names->begin(), name, *name) != name)
            return std::nullopt;
    }
    return names;
}

std::string BackEnds::print(const std::vector<std::string>& values) const
{
    return values.empty() ? quote("none") : Texts{}.print(values);
}

std::string Count::allowed() const
{
    return fmt::format("a number from {} to {}", least, most);
}

std::optional<int> Count::read(const Value& value) const
{
    const std::int64_t* const number = std::get_if<std::int64_t>(&value.data);
    if (number == nullptr || *number < least || *number > most)
        return std::nullopt;
    return static_cast<int>(*number);
}

std::string WholeSeconds::allowed() const
{
    return fmt::format("a whole number of seconds from {} to {}", least, most);
}

std::optional<Seconds> WholeSeconds::read(const Value& value) const
{
    const std::int64_t* const number = std::get_if<std::int64_t>(&value.data);
    if (number == nullptr || *number < least || *number > most)
        return std::nullopt;
    return Seconds{*number};
}

bool is_auto(const Value& value)
{
    const std::string* const word = std::get_if<std::string>(&value.data);
    return word != nullptr && *word == "auto";
}

std::optional<Milliseconds> Fraction::read(const Value& value) const
{
    double seconds = 0;
    if (const std::int64_t* const whole = std::get_if<std::int64_t>(&value.data))
        seconds = static_cast<double>(*whole);
    else if (const double* const number = std::get_if<double>(&value.data))
        seconds = *number;
    const double rounded = std::round(seconds * 1000);
    // Written so that NaN fails too.
    if (!(rounded >= static_cast<double>(least.count()) &&
          rounded <= static_cast<double>(most.count())))
        return std::nullopt;
    return Milliseconds{static_cast<std::int64_t>(rounded)};
}

std::string Fraction::print(Milliseconds value) const
{
    return fmt::format("{}", static_cast<double>(value.count()) / 1000);
}

std::optional<std::optional<unsigned>> Mode::read(const Value& value) const
{
    constexpr unsigned all = 0777;
    if (const std::int64_t* const bits = std::get_if<std::int64_t>(&value.data)) {
        if (*bits < 0 || *bits > all)
            return std::nullopt;
        return std::optional(static_cast<unsigned>(*bits));
    }
    const std::string* const digits = std::get_if<std::string>(&value.data);
    if (digits == nullptr || digits->empty())
        return std::nullopt;
    unsigned bits = 0;
    const char* const end = digits->data() + digits->size();
    const auto read = std::from_chars(digits->data(), end, bits, 8);
    if (read.ec != std::errc{} || read.ptr != end || bits > all)
        return std::nullopt;
    return std::optional(bits);
}

std::string Mode::print(const std::optional<unsigned>& value) const
{
    return quote(fmt::format("{:04o}", value.value_or(0660)));
}

std::string Ports::allowed() const
{
    return "\"START:END\", even numbers from 1024 to 65536, START below END";
}

std::optional<relay::PortRange> Ports::read(const Value& value) const
{
    const std::string* const range = std::get_if<std::string>(&value.data);
    if (range == nullptr)
        return std::nullopt;
    const auto parts = text::split(*range, ':');
    if (parts.size() != 2)
        return std::nullopt;
    const auto first = text::parse_number<std::uint32_t>(text::trim(parts[0]));
    const auto last = text::parse_number<std::uint32_t>(text::trim(parts[1]));
    if (!first || !last || *first % 2 != 0 || *last % 2 != 0)
        return std::nullopt;
    if (*first < 1024 || *last > 65536 || *first >= *last)
        return std::nullopt;
    return relay::PortRange{static_cast<net::Port>(*first), *last};
}

std::string Ports::print(const relay::PortRange& value) const
{
    return quote(fmt::format("{}:{}", value.first, value.last));
}

std::string PassportText::allowed() const
{
    return "\"None\" or \"NAME:VALUE, ...\" with NAME one of O, OU, CN, C, L, ST, EMAIL and * only "
           "at the beginning or the end of a VALUE";
}

std::optional<tls::Passport> PassportText::read(const Value& value) const
{
    const std::string* const passport = std::get_if<std::string>(&value.data);
    if (passport == nullptr)
        return std::nullopt;
    Result<tls::Passport> parsed = tls::Passport::parse(*passport);
    return parsed ? std::optional(std::move(*parsed)) : std::nullopt;
}

std::optional<std::vector<net::Address>> Addresses::read(const Value& value) const
{
    auto all =
        read_each<net::Address>(value, [](const auto& word) { return net::Address::parse(word); });
    if (!all)
        return std::nullopt;
    const auto v4 = [](const net::Address& address) { return address.is_v4(); };
    const auto count = std::count_if(all->begin(), all->end(), v4);
    const bool one_each = count <= 1 && static_cast<std::ptrdiff_t>(all->size()) - count <= 1;
    const bool usable = std::none_of(all->begin(), all->end(), [](const net::Address& address) {
        return address.is_unspecified() || address.is_multicast();
    });
    return one_each && usable ? all : std::nullopt;
}

std::string Addresses::print(const std::vector<net::Address>& values) const
{
    return print_each(values, [](const net::Address& value) { return value.to_string(); });
}

std::string Endpoints::allowed() const
{
    return "IP:PORT, [IPv6]:PORT or any:PORT, one or an array of them";
}

std::optional<std::vector<net::Endpoint>> Endpoints::read(const Value& value) const
{
    return read_each<net::Endpoint>(value, parse_listen);
}

std::string Endpoints::print(const std::vector<net::Endpoint>& values) const
{
    return print_each(values, [](const net::Endpoint& value) { return value.to_string(); });
}

std::string Networks::allowed() const
{
    return "networks in CIDR notation such as \"10.0.0.0/8\", bits behind the prefix zero";
}

std::optional<std::vector<net::Network>> Networks::read(const Value& value) const
{
    return read_each<net::Network>(value,
                                   [](const auto& word) { return net::parse_network(word); });
}

std::string Networks::print(const std::vector<net::Network>& values) const
{
    return print_each(values, [](const net::Network& value) { return value.to_string(); });
}

std::string Dispatchers::allowed() const
{
    return "IP addresses, host names or SRV domains, each with or without :PORT";
}

std::optional<std::vector<relay::Options::Dispatcher>> Dispatchers::read(const Value& value) const
{
    return read_each<relay::Options::Dispatcher>(value, parse_dispatcher);
}

std::string Dispatchers::print(const std::vector<relay::Options::Dispatcher>& values) const
{
    return print_each(values, [](const relay::Options::Dispatcher& value) {
        const bool v6 = value.host.find(':') != std::string::npos;
        return fmt::format("{}{}{}:{}", v6 ? "[" : "", value.host, v6 ? "]" : "", value.port);
    });
}

} // namespace mediaproxy::config
