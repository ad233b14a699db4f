// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <mediaproxy/accounting.h>

#include "conformance/lent_memory.hpp"

namespace mediaproxy::conformance
{

/// How long the structs are, and say that they are.
enum class Sizes {
    ours,   ///< one behind the other
    exact,  ///< each with nothing behind it that may be touched
    longer, ///< by members that only a later host knows
};

/// A copy of records to pass to a plugin, which may read it until this object ends.
class LentRecords
{
public:
    LentRecords(std::span<const mp_session_record* const> records, Sizes sizes);
    LentRecords(const LentRecords&) = delete;
    LentRecords& operator=(const LentRecords&) = delete;

    const mp_session_record* const* data() const noexcept { return data_; }

private:
    template <class Struct>
    Struct* copy_struct(const Struct& original);
    const char* copy_text(const char* text);
    const mp_session_record* copy(const mp_session_record& original);
    const mp_stream_record* copy(const mp_stream_record& original);
    template <class Element>
    Element* take(std::size_t count, std::size_t extra = 0);

    Sizes sizes_;
    LentMemory shelf_;
    std::byte* next_;
    std::vector<std::unique_ptr<LentMemory>> own_; ///< of exact structs
    const mp_session_record* const* data_ = nullptr;
};

} // namespace mediaproxy::conformance
