// SPDX-License-Identifier: GPL-2.0-or-later
#include "protocol/dialog_end.hpp"

#include <algorithm>
#include <charconv>
#include <fmt/format.h>
#include <rapidjson/document.h>
#include <rapidjson/stringbuffer.h>
#include <rapidjson/writer.h>

#include "base/text.hpp"

namespace mediaproxy::protocol
{

namespace
{

using Call = EndDialog::Call;

constexpr int code_ok = 200, code_not_found = 404;

/// The dialog_id of a request, in the two forms that the proxies' modules write.
struct DialogId {
    bool has_entry = false; ///< ENTRY:ID, else one decimal number
    std::uint64_t number = 0;
    std::uint64_t entry() const noexcept { return number >> 32; }
    std::uint64_t id() const noexcept { return number & 0xffffffff; }
};

std::optional<DialogId> parse_dialog_id(std::string_view text)
{
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos) {
        const auto number = text::parse_number<std::uint64_t>(text);
        return number ? std::optional(DialogId{false, *number}) : std::nullopt;
    }
    const auto entry = text::parse_number<std::uint32_t>(text.substr(0, colon));
    const auto id = text::parse_number<std::uint32_t>(text.substr(colon + 1));
    if (!entry || !id)
        return std::nullopt;
    return DialogId{true, std::uint64_t{*entry} << 32 | *id};
}

std::string reversed_hex(std::uint64_t number)
{
    std::string digits = fmt::format("{:x}", number);
    std::reverse(digits.begin(), digits.end());
    return digits;
}

std::string quote(std::string_view text)
{
    rapidjson::StringBuffer buffer;
    rapidjson::Writer<rapidjson::StringBuffer> writer(buffer);
    writer.String(text.data(), static_cast<rapidjson::SizeType>(text.size()));
    return {buffer.GetString(), buffer.GetSize()};
}

/// A parameter in the dialect of lines ends with its line, and a quote at its start begins another
/// syntax.
bool fits_a_line(std::string_view text)
{
    return !text.empty() && text.front() != '"' &&
           std::none_of(text.begin(), text.end(),
                        [](char c) { return static_cast<unsigned char>(c) < 0x20; });
}

std::vector<EndDialog> ways_of_any_proxy(const std::optional<DialogId>& id,
                                         std::string_view call_id)
{
    std::vector<EndDialog> ways;
    if (id && id->has_entry) {
        ways.push_back({Call::kamailio, fmt::format("{}, {}", id->entry(), id->id())});
        ways.push_back({Call::opensips, std::to_string(id->number)}); // 3.0.0 to 3.0.3
    } else {
        if (id)
            ways.push_back({Call::opensips, to_hexadecimal_dialog_id(id->number)});
        ways.push_back({Call::opensips, std::string(call_id)});
        if (id)
            ways.push_back({Call::opensips, std::to_string(id->number)});
    }
    if (id)
        ways.push_back({Call::lines, std::to_string(id->number)});
    if (fits_a_line(call_id))
        ways.push_back({Call::lines, std::string(call_id)});
    return ways;
}

int to_code(const rapidjson::Value& value)
{
    int code = 0;
    if (value.IsString())
        std::from_chars(value.GetString(), value.GetString() + value.GetStringLength(), code);
    return code;
}

std::string to_text(const rapidjson::Value& object, const char* name)
{
    const auto found = object.FindMember(name);
    if (found == object.MemberEnd() || !found->value.IsString())
        return {};
    return {found->value.GetString(), found->value.GetStringLength()};
}

void read_error(const rapidjson::Value& error, EndDialogAnswer& answer)
{
    answer.verdict = EndDialogAnswer::Verdict::refused;
    if (!error.IsObject())
        return;
    if (const auto code = error.FindMember("code"); code != error.MemberEnd())
        answer.code = to_code(code->value);
    answer.message = to_text(error, "message");
    if (answer.code == code_not_found)
        answer.verdict = EndDialogAnswer::Verdict::gone;
}

std::optional<EndDialogAnswer> parse_json(std::string_view text)
{
    // Iterative: a deep nest must not use up the stack. Numbers as they are written: nothing here
    // is reckoned with.
    rapidjson::Document document;
    document.Parse<rapidjson::kParseIterativeFlag | rapidjson::kParseNumbersAsStringsFlag>(
        text.data(), text.size());
    const rapidjson::Value& object = document;
    if (document.HasParseError() || !object.IsObject())
        return std::nullopt;
    EndDialogAnswer answer{Dialect::json, to_text(object, "id"), {}, code_ok, {}};
    if (answer.id.empty())
        return std::nullopt;
    const auto error = object.FindMember("error");
    if (error != object.MemberEnd())
        read_error(error->value, answer);
    else if (!object.HasMember("result"))
        return std::nullopt;
    return answer;
}

/// `CODE TEXT`, then further lines.
std::optional<EndDialogAnswer> parse_line(std::string_view text)
{
    text = text.substr(0, text.find('\n'));
    const std::size_t blank = text.find(' ');
    const auto code = text::parse_number<std::uint16_t>(text.substr(0, blank));
    if (!code || *code < 100 || *code > 699)
        return std::nullopt;
    EndDialogAnswer answer{Dialect::lines, {}, EndDialogAnswer::Verdict::refused, *code, {}};
    if (blank != std::string_view::npos)
        answer.message = text.substr(blank + 1);
    if (*code == code_ok)
        answer.verdict = EndDialogAnswer::Verdict::ended;
    else if (*code == code_not_found)
        answer.verdict = EndDialogAnswer::Verdict::gone;
    return answer;
}

} // namespace

std::string EndDialog::write(std::uint64_t id) const
{
    switch (call) {
    case Call::kamailio:
        return fmt::format("{{\"jsonrpc\": \"2.0\", \"id\": \"{}\", \"method\": \"dlg.end_dlg\", "
                           "\"params\": [{}]}}",
                           id, text);
    case Call::opensips:
        return fmt::format("{{\"jsonrpc\":\"2.0\",\"id\":\"{}\",\"method\":\"dlg_end_dlg\","
                           "\"params\":[{}]}}",
                           id, quote(text));
    case Call::lines:
        break;
    }
    return fmt::format(":dlg_end_dlg:\n{}\n\n", text);
}

std::string to_hexadecimal_dialog_id(std::uint64_t number)
{
    return reversed_hex(number >> 32) + '.' + reversed_hex(number & 0xffffffff);
}

std::vector<EndDialog> ways_to_end(ProxyKind kind, std::string_view dialog_id,
                                   std::string_view call_id)
{
    const std::optional<DialogId> id = parse_dialog_id(dialog_id);
    std::vector<EndDialog> ways;
    switch (kind) {
    case ProxyKind::automatic:
        return ways_of_any_proxy(id, call_id);
    case ProxyKind::kamailio:
        if (id && id->has_entry)
            ways.push_back({Call::kamailio, fmt::format("{}, {}", id->entry(), id->id())});
        break;
    case ProxyKind::opensips:
        ways.push_back(
            {Call::opensips, id ? to_hexadecimal_dialog_id(id->number) : std::string(call_id)});
        break;
    case ProxyKind::opensips_3_0:
        ways.push_back({Call::opensips, id ? std::to_string(id->number) : std::string(call_id)});
        break;
    case ProxyKind::opensips_2_4:
        if (id)
            ways.push_back({Call::lines, std::to_string(id->number)});
        else if (fits_a_line(call_id))
            ways.push_back({Call::lines, std::string(call_id)});
        break;
    }
    return ways;
}

std::optional<EndDialogAnswer> parse_end_dialog_answer(std::string_view datagram)
{
    return datagram.starts_with('{') ? parse_json(datagram) : parse_line(datagram);
}

} // namespace mediaproxy::protocol
