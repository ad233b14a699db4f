// SPDX-License-Identifier: GPL-2.0-or-later
#include "protocol/hello.hpp"

#include <rapidjson/document.h>

#include "base/text.hpp"
#include "protocol/session_report.hpp"

namespace mediaproxy::protocol
{

namespace
{

using rapidjson::Value;

constexpr rapidjson::SizeType most_elements = 64;

std::string member_text(const Value& object, const char* name)
{
    const auto found = object.FindMember(name);
    if (found == object.MemberEnd() || !found->value.IsString())
        return {};
    return {found->value.GetString(), found->value.GetStringLength()};
}

/// Calls `each` for the elements of an array member, as far as that is sane.
template <class Each>
void for_elements(const Value& object, const char* name, Each each)
{
    const auto found = object.FindMember(name);
    if (found == object.MemberEnd() || !found->value.IsArray())
        return;
    const Value& array = found->value;
    for (rapidjson::SizeType i = 0; i < array.Size() && i < most_elements; ++i)
        each(array[i]);
}

} // namespace

std::string to_json(const Hello& hello)
{
    std::string out = "{\"name\": ";
    append_json_string(out, hello.name);
    out += ", \"version\": ";
    append_json_string(out, hello.version);
    out += ", \"instance\": ";
    append_json_string(out, hello.instance);
    out += ", \"run\": ";
    append_json_string(out, hello.run);
    out += ", \"addresses\": [";
    const char* separator = "";
    for (const net::Address& address : hello.addresses) {
        out += separator;
        append_json_string(out, address.to_string());
        separator = ", ";
    }
    out += "], \"families\": [";
    separator = "";
    for (const net::Family family : hello.families) {
        out += separator;
        out += family == net::Family::v6 ? '6' : '4';
        separator = ", ";
    }
    out += "], \"features\": [";
    separator = "";
    for (const std::string& feature : hello.features) {
        out += separator;
        append_json_string(out, feature);
        separator = ", ";
    }
    out += "]}";
    return out;
}

Result<Hello> parse_hello(std::string_view json)
{
    rapidjson::Document document;
    document.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseValidateEncodingFlag>(
        json.data(), json.size());
    if (document.HasParseError() || !document.IsObject())
        return invalid("hello: not a JSON object");
    Hello hello;
    hello.name = member_text(document, "name");
    hello.version = member_text(document, "version");
    hello.instance = member_text(document, "instance");
    hello.run = member_text(document, "run");
    if (hello.name.empty())
        return invalid("hello: no name");
    for_elements(document, "addresses", [&](const Value& element) {
        if (!element.IsString())
            return;
        if (auto address = net::Address::parse({element.GetString(), element.GetStringLength()}))
            hello.addresses.push_back(*address);
    });
    for_elements(document, "families", [&](const Value& element) {
        if (element.IsInt() && (element.GetInt() == 4 || element.GetInt() == 6))
            hello.families.push_back(element.GetInt() == 4 ? net::Family::v4 : net::Family::v6);
    });
    for_elements(document, "features", [&](const Value& element) {
        if (element.IsString())
            hello.features.emplace_back(element.GetString(), element.GetStringLength());
    });
    return hello;
}

bool names_feature(std::string_view features, std::string_view feature)
{
    while (!features.empty()) {
        const std::size_t comma = features.find(',');
        if (text::trim(features.substr(0, comma)) == feature)
            return true;
        features.remove_prefix(comma == std::string_view::npos ? features.size() : comma + 1);
    }
    return false;
}

} // namespace mediaproxy::protocol
