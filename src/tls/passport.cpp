// SPDX-License-Identifier: GPL-2.0-or-later
#include "tls/passport.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <fmt/format.h>

#include "base/text.hpp"

namespace mediaproxy::tls
{

namespace
{

constexpr std::array<std::string_view, 7> known_names{"O", "OU", "CN", "C", "L", "ST", "EMAIL"};

std::string upper(std::string_view word)
{
    std::string result(word);
    std::transform(result.begin(), result.end(), result.begin(),
                   [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
    return result;
}

/// The items between commas; a backslash takes a comma or a backslash behind it as it is.
std::vector<std::string> split_items(std::string_view text)
{
    std::vector<std::string> items(1);
    for (std::size_t i = 0; i < text.size(); ++i) {
        const bool escaped =
            text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == ',' || text[i + 1] == '\\');
        if (text[i] == ',') {
            items.emplace_back();
            continue;
        }
        i += escaped ? 1 : 0;
        items.back() += text[i];
    }
    return items;
}

/// `*` stands for anything at the beginning or the end of `pattern`.
bool matches(std::string_view pattern, std::string_view value) noexcept
{
    if (pattern == "*")
        return true;
    const bool open_begin = pattern.starts_with('*');
    const bool open_end = pattern.ends_with('*');
    pattern.remove_prefix(open_begin ? 1 : 0);
    pattern.remove_suffix(open_end ? 1 : 0);
    if (open_begin && open_end)
        return value.find(pattern) != std::string_view::npos;
    if (open_begin)
        return value.ends_with(pattern);
    return open_end ? value.starts_with(pattern) : value == pattern;
}

Result<Passport::Attribute> parse_item(std::string_view item)
{
    const std::size_t colon = item.find(':');
    if (colon == std::string_view::npos)
        return invalid(fmt::format("passport: \"{}\" is not NAME:VALUE", text::printable(item)));
    Passport::Attribute attribute{upper(text::trim(item.substr(0, colon))),
                                  std::string(text::trim(item.substr(colon + 1)))};
    if (std::find(known_names.begin(), known_names.end(), attribute.name) == known_names.end())
        return invalid(fmt::format("passport: no attribute \"{}\" (O, OU, CN, C, L, ST, EMAIL)",
                                   text::printable(attribute.name)));
    if (attribute.value.empty())
        return invalid(fmt::format("passport: {} has no value", attribute.name));
    if (attribute.value.size() > 2 && attribute.value.find('*', 1) < attribute.value.size() - 1)
        return invalid(fmt::format("passport: {}: * only at the beginning or the end of a value",
                                   attribute.name));
    return attribute;
}

} // namespace

Result<Passport> Passport::parse(std::string_view text)
{
    Passport passport;
    text = text::trim(text);
    if (text.empty() || upper(text) == "NONE")
        return passport;
    for (const std::string& item : split_items(text)) {
        Result<Attribute> attribute = parse_item(text::trim(item));
        if (!attribute)
            return attribute.error();
        passport.wanted_.push_back(std::move(*attribute));
    }
    return passport;
}

Result<void> Passport::accept(const std::vector<Attribute>& subject) const
{
    for (const Attribute& wanted : wanted_) {
        const auto fits = [&](const Attribute& has) {
            return has.name == wanted.name && matches(wanted.value, has.value);
        };
        if (std::any_of(subject.begin(), subject.end(), fits))
            continue;
        const auto named = std::find_if(subject.begin(), subject.end(), [&](const Attribute& has) {
            return has.name == wanted.name;
        });
        return Error{Error::Code::denied,
                     fmt::format("refused by passport: {} is \"{}\", not \"{}\"", wanted.name,
                                 named == subject.end() ? "" : text::printable(named->value),
                                 wanted.value)};
    }
    return {};
}

std::string Passport::to_string() const
{
    if (wanted_.empty())
        return "None";
    std::string result;
    for (const Attribute& wanted : wanted_) {
        result += (result.empty() ? "" : ", ") + wanted.name + ":";
        for (const char c : wanted.value)
            result += c == ',' || c == '\\' ? std::string{'\\', c} : std::string(1, c);
    }
    return result;
}

} // namespace mediaproxy::tls
