// SPDX-License-Identifier: GPL-2.0-or-later
#include <charconv>
#include <rapidjson/document.h>
#include <rapidjson/encodedstream.h>
#include <rapidjson/error/en.h>
#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

#include "base/text.hpp"
#include "protocol/session_report.hpp"

namespace mediaproxy::protocol
{

namespace
{

using rapidjson::Value;

/// Reads members of one object; a member of another type counts as missing.
class ObjectReader
{
public:
    explicit ObjectReader(const Value& object) : object_(object) {}

    std::string text(const char* name, std::string_view otherwise = {}) const
    {
        const Value* value = find(name);
        return value && value->IsString()
                   ? std::string(value->GetString(), value->GetStringLength())
                   : std::string(otherwise);
    }
    std::optional<double> real(const char* name) const
    {
        const Value* value = find(name);
        return value && value->IsNumber() ? std::optional(value->GetDouble()) : std::nullopt;
    }
    /// 4.x writes some whole numbers as floats.
    std::int64_t integer(const char* name) const
    {
        const Value* value = find(name);
        if (value && value->IsInt64())
            return value->GetInt64();
        const auto number = real(name);
        return number && *number > -9e15 && *number < 9e15 ? static_cast<std::int64_t>(*number) : 0;
    }
    std::uint64_t count(const char* name) const
    {
        const Value* value = find(name);
        if (value && value->IsUint64())
            return value->GetUint64();
        const std::int64_t number = integer(name);
        return number > 0 ? static_cast<std::uint64_t>(number) : 0;
    }
    std::optional<bool> boolean(const char* name) const
    {
        const Value* value = find(name);
        return value && value->IsBool() ? std::optional(value->GetBool()) : std::nullopt;
    }
    const Value* find(const char* name) const
    {
        const auto found = object_.FindMember(name);
        return found == object_.MemberEnd() ? nullptr : &found->value;
    }

private:
    const Value& object_;
};

std::uint64_t difference(std::uint64_t all, std::uint64_t part) noexcept
{
    return all > part ? all - part : 0;
}

StreamReport read_stream(const Value& object)
{
    const ObjectReader in(object);
    StreamReport stream;
    stream.media_type = in.text("media_type");
    stream.status = in.text("status");
    stream.timeout_wait = in.integer("timeout_wait");
    stream.caller_codec = in.text("caller_codec", "Unknown");
    stream.callee_codec = in.text("callee_codec", "Unknown");
    stream.start_time = in.integer("start_time");
    stream.end_time = in.integer("end_time");
    stream.post_dial_delay = in.real("post_dial_delay");
    stream.rtcp_from_caller = {in.count("caller_rtcp_packets"), in.count("caller_rtcp_bytes")};
    stream.rtcp_from_callee = {in.count("callee_rtcp_packets"), in.count("callee_rtcp_bytes")};
    stream.rtp_from_caller = {
        difference(in.count("caller_packets"), stream.rtcp_from_caller.packets),
        difference(in.count("caller_bytes"), stream.rtcp_from_caller.bytes)};
    stream.rtp_from_callee = {
        difference(in.count("callee_packets"), stream.rtcp_from_callee.packets),
        difference(in.count("callee_bytes"), stream.rtcp_from_callee.bytes)};
    stream.caller_local = in.text("caller_local", "Unknown");
    stream.callee_local = in.text("callee_local", "Unknown");
    stream.caller_remote = in.text("caller_remote", "Unknown");
    stream.callee_remote = in.text("callee_remote", "Unknown");
    stream.created_at = in.real("created_at");
    return stream;
}

Result<SessionReport> read_report(const Value& object)
{
    if (!object.IsObject())
        return invalid("session statistics are not a JSON object");
    const ObjectReader in(object);
    SessionReport report;
    report.call_id = in.text("call_id");
    report.from_tag = in.text("from_tag");
    if (report.call_id.empty() || report.from_tag.empty())
        return invalid("session statistics without call_id or from_tag");
    report.from_uri = in.text("from_uri");
    report.to_uri = in.text("to_uri");
    report.to_tag = in.text("to_tag");
    report.start_time = in.real("start_time");
    report.duration = in.integer("duration");
    report.caller_ua = in.text("caller_ua", "Unknown");
    report.callee_ua = in.text("callee_ua", "Unknown");
    report.username = in.text("username");
    report.answered_time = in.real("answered_time");
    report.record_id = in.text("record_id");
    report.relay = in.text("relay");
    report.owner = in.text("owner");
    report.all_streams_ice = in.boolean("all_streams_ice");
    if (in.find("dialog_id"))
        report.dialog_id = in.text("dialog_id");
    report.timed_out = in.boolean("timed_out");
    report.lost = in.boolean("lost").value_or(false);
    report.amended = in.boolean("amended").value_or(false);
    const Value* const streams = in.find("streams");
    if (streams && streams->IsArray()) {
        report.streams.reserve(streams->Size());
        for (const Value& stream : streams->GetArray()) {
            if (!stream.IsObject())
                return invalid("session statistics with a stream that is not an object");
            report.streams.push_back(read_stream(stream));
        }
    }
    return report;
}

/// Builds the document, with the numbers as std::from_chars reads them: RapidJSON's own conversion
/// to the nearest double is undefined for zeros with exponents and for numbers of very many digits
/// (found by fuzzing).
class Builder
{
public:
    explicit Builder(rapidjson::Document& document) : document_(document) {}

    bool RawNumber(const char* digits, rapidjson::SizeType length, bool)
    {
        const char* const end = digits + length;
        if (std::int64_t number; is_whole(digits, end, number))
            return document_.Int64(number);
        if (std::uint64_t number; is_whole(digits, end, number))
            return document_.Uint64(number);
        double number = 0;
        const auto [last, error] = std::from_chars(digits, end, number);
        return error == std::errc{} && last == end && document_.Double(number);
    }
    bool Null() { return document_.Null(); }
    bool Bool(bool value) { return document_.Bool(value); }
    bool String(const char* text, rapidjson::SizeType length, bool copy)
    {
        return document_.String(text, length, copy);
    }
    bool Key(const char* text, rapidjson::SizeType length, bool copy)
    {
        return document_.Key(text, length, copy);
    }
    bool StartObject() { return document_.StartObject(); }
    bool EndObject(rapidjson::SizeType members) { return document_.EndObject(members); }
    bool StartArray() { return document_.StartArray(); }
    bool EndArray(rapidjson::SizeType elements) { return document_.EndArray(elements); }
    // Numbers come raw.
    bool Int(int) { return false; }
    bool Uint(unsigned) { return false; }
    bool Int64(std::int64_t) { return false; }
    bool Uint64(std::uint64_t) { return false; }
    bool Double(double) { return false; }

private:
    template <class Number>
    static bool is_whole(const char* digits, const char* end, Number& number)
    {
        const auto [last, error] = std::from_chars(digits, end, number);
        return error == std::errc{} && last == end;
    }
    rapidjson::Document& document_;
};

/// Iterative: a deep nest of brackets must not use up the stack.
Result<void> parse_document(rapidjson::Document& document, std::string_view json)
{
    constexpr unsigned flags =
        rapidjson::kParseIterativeFlag | rapidjson::kParseNumbersAsStringsFlag;
    rapidjson::ParseResult outcome;
    const auto build = [&](rapidjson::Document& target) {
        rapidjson::MemoryStream bytes(json.data(), json.size());
        rapidjson::EncodedInputStream<rapidjson::UTF8<>, rapidjson::MemoryStream> stream(bytes);
        Builder builder(target);
        outcome = rapidjson::Reader().Parse<flags>(stream, builder);
        return !outcome.IsError();
    };
    document.Populate(build);
    if (!outcome.IsError())
        return {};
    if (outcome.Code() == rapidjson::kParseErrorTermination ||
        outcome.Code() == rapidjson::kParseErrorNumberTooBig)
        return invalid("session statistics with a number beyond all measure");
    return invalid(std::string("not JSON: ") + rapidjson::GetParseError_En(outcome.Code()) + ": " +
                   text::printable(json, 60));
}

} // namespace

Result<SessionReport> parse_report(std::string_view json)
{
    rapidjson::Document document;
    if (auto parsed = parse_document(document, json); !parsed)
        return std::move(parsed).error();
    return read_report(document);
}

Result<std::vector<SessionReport>> parse_reports(std::string_view json)
{
    rapidjson::Document document;
    if (auto parsed = parse_document(document, json); !parsed)
        return std::move(parsed).error();
    if (!document.IsArray())
        return invalid("a list of sessions is not a JSON array: " + text::printable(json, 60));
    std::vector<SessionReport> reports;
    reports.reserve(document.Size());
    for (const Value& element : document.GetArray()) {
        auto report = read_report(element);
        if (!report)
            return std::move(report).error();
        reports.push_back(std::move(*report));
    }
    return reports;
}

} // namespace mediaproxy::protocol
