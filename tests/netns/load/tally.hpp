// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

namespace media_load
{

/// What became of the packets that one phone sent to the other.
class Tally
{
public:
    void note_sent() noexcept { ++sent_; }
    /// A packet that is right in itself; `sequence` is below sent().
    void note_received(std::uint32_t sequence);
    void note_corrupted() noexcept { ++corrupted_; }
    void note_foreign() noexcept { ++foreign_; }
    void note_wrong_source(std::string source);

    std::uint32_t sent() const noexcept { return sent_; }
    std::uint64_t received() const noexcept { return received_; } ///< without duplicates
    std::uint64_t lost() const noexcept { return sent_ - received_; }
    std::uint64_t duplicated() const noexcept { return duplicated_; }
    std::uint64_t reordered() const noexcept
    {
        return reordered_;
    } ///< older than one that came before
    std::uint64_t corrupted() const noexcept { return corrupted_; } ///< another length or content
    std::uint64_t foreign() const noexcept { return foreign_; } ///< of another stream or speaker
    std::uint64_t wrong_source() const noexcept { return wrong_source_; }
    const std::set<std::string>& wrong_sources() const noexcept { return wrong_sources_; }

private:
    std::uint32_t sent_ = 0, next_ = 0;
    std::uint64_t received_ = 0, duplicated_ = 0, reordered_ = 0, corrupted_ = 0, foreign_ = 0,
                  wrong_source_ = 0;
    std::vector<bool> came_;
    std::set<std::string> wrong_sources_; ///< the first few
};

} // namespace media_load
