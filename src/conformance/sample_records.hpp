// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <mediaproxy/accounting.h>

#include "accounting/record.hpp"

namespace mediaproxy::conformance
{

/// What is special about a record.
enum class Shape {
    usual,
    unicode,
    long_texts,   ///< 10 kB in every text but the record_id
    many_streams, ///< 32
    no_streams,
    nothing_known,
    large_counters,
    odd_times,
    removed, ///< the rest: how the session ended
    timed_out,
    ice,
    shut_down,
    lost,
    last, ///< how many there are
};

/// In words that follow "a record".
std::string_view to_text(Shape shape);

/// Records as the daemon makes them. Each has a record_id and a call_id that no other has, also not
/// of an earlier run.
class SampleRecords
{
public:
    /// `run` is in each record_id.
    explicit SampleRecords(std::string run) : run_(std::move(run)) {}
    SampleRecords(const SampleRecords&) = delete;
    SampleRecords& operator=(const SampleRecords&) = delete;

    void add(Shape shape);
    void add(Shape shape, std::size_t count);
    /// The record after the last one has this end reason, which need not be known.
    void add_with_end_reason(std::uint32_t reason);

    std::span<const mp_session_record* const> all() const noexcept { return pointers_; }

private:
    std::string run_;
    std::vector<std::unique_ptr<accounting::Record>> records_;
    std::vector<std::unique_ptr<mp_session_record>> altered_;
    std::vector<const mp_session_record*> pointers_;
};

} // namespace mediaproxy::conformance
