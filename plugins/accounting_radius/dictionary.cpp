// SPDX-License-Identifier: GPL-2.0-or-later
#include "dictionary.hpp"

#include <cerrno>
#include <charconv>
#include <cstring>
#include <strings.h>
#include <unistd.h>
#include <utility>

#include <radcli/radcli.h>

namespace mediaproxy::accounting_radius
{

namespace
{

bool fits(rc_attr_type type, Kind kind)
{
    switch (kind) {
    case Kind::text:
        return type == PW_TYPE_STRING;
    case Kind::integer:
        return type == PW_TYPE_INTEGER || type == PW_TYPE_DATE;
    case Kind::ipv4:
        return type == PW_TYPE_IPADDR;
    case Kind::ipv6:
        return type == PW_TYPE_IPV6ADDR;
    }
    return false;
}

} // namespace

void Dictionary::Close::operator()(rc_conf* handle) const noexcept
{
    rc_destroy(handle);
}

Result<Dictionary> Dictionary::read(const std::string& path)
{
    if (::access(path.c_str(), R_OK) != 0)
        return Failure{path + ": " + std::strerror(errno)};
    Handle handle(rc_new());
    if (!handle)
        return Failure{path + ": out of memory"};
    if (rc_read_dictionary(handle.get(), path.c_str()) != 0)
        return Failure{path + ": not a dictionary that radcli can read; its words are in syslog"};
    return Dictionary(std::move(handle));
}

std::optional<Number> Dictionary::find(const std::string& name, Kind kind) const
{
    const DICT_ATTR* attribute = rc_dict_findattr(handle_.get(), name.c_str());
    if (attribute == nullptr || !fits(attribute->type, kind))
        return std::nullopt;
    const auto type = ATTRID(static_cast<std::uint32_t>(attribute->value));
    if (type == 0 || type > 255)
        return std::nullopt;
    return Number{VENDOR(static_cast<std::uint32_t>(attribute->value)),
                  static_cast<std::uint8_t>(type)};
}

std::optional<std::uint32_t> Dictionary::find_value(const std::string& attribute,
                                                    const std::string& value) const
{
    // The library finds the first value of that name, of whichever attribute.
    for (const DICT_VALUE* row = rc_dict_findval(handle_.get(), value.c_str()); row != nullptr;
         row = row->next) {
        if (::strcasecmp(row->name, value.c_str()) == 0 &&
            ::strcasecmp(row->attrname, attribute.c_str()) == 0)
            return static_cast<std::uint32_t>(row->value);
    }
    return std::nullopt;
}

std::optional<Failure> Dictionaries::add(const std::string& path)
{
    auto dictionary = Dictionary::read(path);
    if (auto* failure = std::get_if<Failure>(&dictionary))
        return std::move(*failure);
    dictionaries_.push_back(std::get<Dictionary>(std::move(dictionary)));
    paths_.push_back(path);
    return std::nullopt;
}

Result<Number> Dictionaries::find(const Attribute& attribute) const
{
    for (const Dictionary& dictionary : dictionaries_) {
        if (const auto number = dictionary.find(attribute.name, attribute.kind()))
            return *number;
    }
    static constexpr const char* kinds[] = {"string", "integer", "ipaddr", "ipv6addr"};
    return Failure{"no " + std::string(kinds[attribute.value.index()]) + " attribute " +
                   attribute.name + " in " + paths()};
}

Result<std::uint32_t> Dictionaries::find_value(const std::string& attribute,
                                               const std::string& value) const
{
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    if (error == std::errc{} && end == value.data() + value.size())
        return number;
    for (const Dictionary& dictionary : dictionaries_) {
        if (const auto found = dictionary.find_value(attribute, value))
            return *found;
    }
    return Failure{"no value " + value + " of " + attribute + " in " + paths()};
}

std::string Dictionaries::paths() const
{
    std::string all;
    for (const std::string& path : paths_)
        all += (all.empty() ? "" : ", ") + path;
    return all;
}

} // namespace mediaproxy::accounting_radius
