// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <rapidjson/document.h>
#include <rapidjson/error/en.h>
#include <rapidjson/reader.h>
#include <rapidjson/stream.h>

#include "base/text.hpp"
#include "protocol/session_report.hpp"

namespace mediaproxy::protocol
{

namespace
{

using rapidjson::Value;

std::string to_string(const Value& text)
{
    return {text.GetString(), text.GetStringLength()};
}

/// Reads members of one object; a member of another type counts as missing. Quick when they are
/// asked for in the order in which a relay writes them. Of two of one name it may be either.
class ObjectReader
{
public:
    explicit ObjectReader(const Value& object)
        : begin_(object.MemberBegin()), end_(object.MemberEnd()), next_(begin_)
    {
    }

    std::string text(std::string_view name, std::string_view otherwise = {})
    {
        const Value* value = find(name);
        return value && value->IsString() ? to_string(*value) : std::string(otherwise);
    }
    std::optional<double> real(std::string_view name) { return real_of(find(name)); }
    /// 4.x writes some whole numbers as floats.
    std::int64_t integer(std::string_view name) { return integer_of(find(name)); }
    std::uint64_t count(std::string_view name)
    {
        const Value* const value = find(name);
        if (value && value->IsUint64())
            return value->GetUint64();
        const std::int64_t number = integer_of(value);
        return number > 0 ? static_cast<std::uint64_t>(number) : 0;
    }
    std::optional<bool> boolean(std::string_view name)
    {
        const Value* value = find(name);
        return value && value->IsBool() ? std::optional(value->GetBool()) : std::nullopt;
    }
    const Value* find(std::string_view name)
    {
        const auto is_it = [name](const auto& member) {
            return std::string_view(member.name.GetString(), member.name.GetStringLength()) == name;
        };
        if (next_ == end_ || !is_it(*next_)) {
            const auto found = std::find_if(begin_, end_, is_it);
            if (found == end_)
                return nullptr;
            next_ = found;
        }
        return &next_++->value;
    }

private:
    static std::optional<double> real_of(const Value* value)
    {
        return value && value->IsNumber() ? std::optional(value->GetDouble()) : std::nullopt;
    }
    static std::int64_t integer_of(const Value* value)
    {
        if (value && value->IsInt64())
            return value->GetInt64();
        const auto number = real_of(value);
        return number && *number > -9e15 && *number < 9e15 ? static_cast<std::int64_t>(*number) : 0;
    }

    Value::ConstMemberIterator begin_, end_, next_;
};

Traffic difference(const Traffic& all, const Traffic& part) noexcept
{
    return {all.packets > part.packets ? all.packets - part.packets : 0,
            all.bytes > part.bytes ? all.bytes - part.bytes : 0};
}

StreamReport read_stream(const Value& object)
{
    ObjectReader in(object);
    StreamReport stream;
    Traffic caller, callee;
    stream.media_type = in.text("media_type");
    stream.status = in.text("status");
    stream.timeout_wait = in.integer("timeout_wait");
    stream.caller_codec = in.text("caller_codec", "Unknown");
    stream.callee_codec = in.text("callee_codec", "Unknown");
    stream.start_time = in.integer("start_time");
    stream.end_time = in.integer("end_time");
    stream.post_dial_delay = in.real("post_dial_delay");
    caller.bytes = in.count("caller_bytes");
    callee.bytes = in.count("callee_bytes");
    caller.packets = in.count("caller_packets");
    callee.packets = in.count("callee_packets");
    stream.caller_local = in.text("caller_local", "Unknown");
    stream.callee_local = in.text("callee_local", "Unknown");
    stream.caller_remote = in.text("caller_remote", "Unknown");
    stream.callee_remote = in.text("callee_remote", "Unknown");
    stream.rtcp_from_caller.bytes = in.count("caller_rtcp_bytes");
    stream.rtcp_from_callee.bytes = in.count("callee_rtcp_bytes");
    stream.rtcp_from_caller.packets = in.count("caller_rtcp_packets");
    stream.rtcp_from_callee.packets = in.count("callee_rtcp_packets");
    stream.rtp_from_caller = difference(caller, stream.rtcp_from_caller);
    stream.rtp_from_callee = difference(callee, stream.rtcp_from_callee);
    stream.created_at = in.real("created_at");
    return stream;
}

Result<SessionReport> read_report(const Value& object)
{
    if (!object.IsObject())
        return invalid("session statistics are not a JSON object");
    ObjectReader in(object);
    SessionReport report;
    report.call_id = in.text("call_id");
    report.from_tag = in.text("from_tag");
    if (report.call_id.empty() || report.from_tag.empty())
        return invalid("session statistics without call_id or from_tag");
    report.from_uri = in.text("from_uri");
    report.to_tag = in.text("to_tag");
    report.to_uri = in.text("to_uri");
    report.start_time = in.real("start_time");
    report.duration = in.integer("duration");
    report.caller_ua = in.text("caller_ua", "Unknown");
    report.callee_ua = in.text("callee_ua", "Unknown");
    report.username = in.text("username");
    const Value* const streams = in.find("streams");
    if (streams && streams->IsArray()) {
        report.streams.reserve(streams->Size());
        for (const Value& stream : streams->GetArray()) {
            if (!stream.IsObject())
                return invalid("session statistics with a stream that is not an object");
            report.streams.push_back(read_stream(stream));
        }
    }
    report.answered_time = in.real("answered_time");
    report.record_id = in.text("record_id");
    report.relay = in.text("relay");
    report.owner = in.text("owner");
    report.all_streams_ice = in.boolean("all_streams_ice");
    if (const Value* const dialog_id = in.find("dialog_id"))
        report.dialog_id = dialog_id->IsString() ? to_string(*dialog_id) : std::string();
    report.timed_out = in.boolean("timed_out");
    report.lost = in.boolean("lost").value_or(false);
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

/// A document in one copy of its text; what a report of few streams needs lies in the object. Big,
/// for the stack.
class Parsed
{
public:
    /// `json` is borrowed.
    explicit Parsed(std::string_view json) : json_(json), text_(json) {}
    Parsed(const Parsed&) = delete;
    Parsed& operator=(const Parsed&) = delete;

    /// Iterative: a deep nest of brackets must not use up the stack.
    Result<void> parse()
    {
        constexpr unsigned flags = rapidjson::kParseInsituFlag | rapidjson::kParseIterativeFlag |
                                   rapidjson::kParseNumbersAsStringsFlag;
        rapidjson::ParseResult outcome;
        const auto build = [&](rapidjson::Document& target) {
            rapidjson::InsituStringStream stream(text_.data());
            Builder builder(target);
            outcome = rapidjson::Reader(nullptr, 1024).Parse<flags>(stream, builder);
            return !outcome.IsError();
        };
        document_.Populate(build);
        if (!outcome.IsError())
            return {};
        if (outcome.Code() == rapidjson::kParseErrorTermination ||
            outcome.Code() == rapidjson::kParseErrorNumberTooBig)
            return invalid("session statistics with a number beyond all measure");
        return invalid(std::string("not JSON: ") + rapidjson::GetParseError_En(outcome.Code()) +
                       ": " + text::printable(json_, 60));
    }
    const Value& root() const noexcept { return document_; }

private:
    std::string_view json_;
    std::string text_;
    alignas(std::max_align_t) std::array<char, 8192> memory_;
    rapidjson::MemoryPoolAllocator<> allocator_{memory_.data(), memory_.size()};
    rapidjson::Document document_{&allocator_, 4096};
};

} // namespace

Result<SessionReport> parse_report(std::string_view json)
{
    Parsed document(json);
    if (auto parsed = document.parse(); !parsed)
        return std::move(parsed).error();
    return read_report(document.root());
}

Result<std::vector<SessionReport>> parse_reports(std::string_view json)
{
    Parsed document(json);
    if (auto parsed = document.parse(); !parsed)
        return std::move(parsed).error();
    const Value& root = document.root();
    if (!root.IsArray())
        return invalid("a list of sessions is not a JSON array: " + text::printable(json, 60));
    std::vector<SessionReport> reports;
    reports.reserve(root.Size());
    for (const Value& element : root.GetArray()) {
        auto report = read_report(element);
        if (!report)
            return std::move(report).error();
        reports.push_back(std::move(*report));
    }
    return reports;
}

} // namespace mediaproxy::protocol
