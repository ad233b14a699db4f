// SPDX-License-Identifier: GPL-2.0-or-later
#include "tally.hpp"

#include <algorithm>
#include <utility>

namespace media_load
{
namespace
{

constexpr std::size_t most_sources = 4;

} // namespace

void Tally::note_received(std::uint32_t sequence)
{
    if (sequence >= came_.size())
        came_.resize(std::max<std::size_t>(sequence + 1, came_.size() * 2));
    if (came_[sequence]) {
        ++duplicated_;
        return;
    }
    came_[sequence] = true;
    ++received_;
    if (sequence < next_)
        ++reordered_;
    next_ = std::max(next_, sequence + 1);
}

void Tally::note_wrong_source(std::string source)
{
    ++wrong_source_;
    if (wrong_sources_.size() < most_sources)
        wrong_sources_.insert(std::move(source));
}

} // namespace media_load
