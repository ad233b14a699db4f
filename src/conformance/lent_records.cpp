// SPDX-License-Identifier: GPL-2.0-or-later
#include "conformance/lent_records.hpp"

#include <algorithm>
#include <cstring>

namespace mediaproxy::conformance
{

namespace
{

constexpr std::string_view label = "the records of write";
constexpr std::size_t alignment = 8;
constexpr std::size_t later_members = 64; ///< bytes
constexpr std::byte later_value{0xa5};

template <class Record>
constexpr auto texts_of = std::array{&Record::record_id,
                                     &Record::call_id,
                                     &Record::from_tag,
                                     &Record::to_tag,
                                     &Record::from_uri,
                                     &Record::to_uri,
                                     &Record::caller_user_agent,
                                     &Record::callee_user_agent,
                                     &Record::username,
                                     &Record::dialog_id,
                                     &Record::relay,
                                     &Record::json};
template <>
constexpr auto texts_of<mp_stream_record> =
    std::array{&mp_stream_record::media_type, &mp_stream_record::status,
               &mp_stream_record::caller_codec, &mp_stream_record::callee_codec};

std::size_t rounded(std::size_t size)
{
    return (size + alignment - 1) / alignment * alignment;
}

template <class Record>
std::size_t room_for(const Record& record)
{
    std::size_t size = rounded(sizeof record + later_members);
    for (const auto text : texts_of<Record>)
        size += rounded(std::strlen(record.*text) + 1);
    return size;
}

std::size_t room_for(std::span<const mp_session_record* const> records)
{
    std::size_t size = records.size_bytes();
    for (const mp_session_record* record : records) {
        size += room_for(*record) + record->stream_count * sizeof(void*);
        for (std::uint32_t i = 0; i < record->stream_count; ++i)
            size += room_for(*record->streams[i]);
    }
    return rounded(size);
}

} // namespace

LentRecords::LentRecords(std::span<const mp_session_record* const> records, Sizes sizes)
    : sizes_(sizes), shelf_(label, room_for(records)), next_(shelf_.data())
{
    auto* const pointers = take<const mp_session_record*>(records.size());
    for (std::size_t i = 0; i < records.size(); ++i)
        pointers[i] = copy(*records[i]);
    data_ = pointers;
    shelf_.protect();
    for (const auto& own : own_)
        own->protect();
}

template <class Element>
Element* LentRecords::take(std::size_t count, std::size_t extra)
{
    std::byte* const taken = next_;
    next_ += rounded(count * sizeof(Element) + extra);
    return reinterpret_cast<Element*>(taken);
}

template <class Struct>
Struct* LentRecords::copy_struct(const Struct& original)
{
    if (sizes_ == Sizes::exact) {
        own_.push_back(std::make_unique<LentMemory>(label, sizeof(Struct)));
        auto* const copy = reinterpret_cast<Struct*>(own_.back()->data());
        *copy = original;
        return copy;
    }
    const std::size_t extra = sizes_ == Sizes::longer ? later_members : 0;
    auto* const copy = take<Struct>(1, extra);
    *copy = original;
    std::fill_n(reinterpret_cast<std::byte*>(copy) + sizeof(Struct), extra, later_value);
    copy->struct_size += static_cast<std::uint32_t>(extra);
    return copy;
}

const char* LentRecords::copy_text(const char* text)
{
    const std::size_t size = std::strlen(text) + 1;
    return static_cast<const char*>(std::memcpy(take<char>(size), text, size));
}

const mp_stream_record* LentRecords::copy(const mp_stream_record& original)
{
    mp_stream_record* const stream = copy_struct(original);
    for (const auto text : texts_of<mp_stream_record>)
        stream->*text = copy_text(original.*text);
    return stream;
}

const mp_session_record* LentRecords::copy(const mp_session_record& original)
{
    mp_session_record* const record = copy_struct(original);
    for (const auto text : texts_of<mp_session_record>)
        record->*text = copy_text(original.*text);
    // No streams, no array: as the daemon passes them.
    auto* const streams =
        original.stream_count == 0 ? nullptr : take<const mp_stream_record*>(original.stream_count);
    for (std::uint32_t i = 0; i < original.stream_count; ++i)
        streams[i] = copy(*original.streams[i]);
    record->streams = streams;
    return record;
}

} // namespace mediaproxy::conformance
