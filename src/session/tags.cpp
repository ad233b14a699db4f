// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/tags.hpp"

#include <utility>

namespace mediaproxy::session
{

TagId Tags::find(std::string_view tag) const noexcept
{
    if (tag.empty())
        return no_tag;
    if (tag == own_)
        return caller_tag;
    for (std::size_t i = 0; i < others_.size(); ++i) {
        if (others_[i].tag == tag)
            return static_cast<TagId>(i + 1);
    }
    return unknown_tag;
}

TagId Tags::note(std::string_view tag)
{
    const TagId known = find(tag);
    if (known != unknown_tag || !has_room())
        return known;
    if (others_.empty())
        others_.reserve(1);
    others_.push_back(Other{std::string(tag), {}, false});
    return static_cast<TagId>(others_.size());
}

std::string_view Tags::text(TagId id) const noexcept
{
    if (id == caller_tag)
        return own_;
    return id <= others_.size() ? std::string_view(others_[id - 1].tag) : std::string_view();
}

const Tags::Count* Tags::count_of(TagId id) const noexcept
{
    if (id == caller_tag)
        return &own_count_;
    return id <= others_.size() ? &others_[id - 1].count : nullptr;
}

bool Tags::is_newer(TagId id, std::uint32_t cseq) const noexcept
{
    const Count* count = count_of(id);
    return !count || !count->any || cseq > count->highest;
}

void Tags::count(TagId id, std::uint32_t cseq) noexcept
{
    if (!is_newer(id, cseq))
        return;
    if (id == caller_tag)
        own_count_ = {cseq, true};
    else if (id <= others_.size())
        others_[id - 1].count = {cseq, true};
}

void Tags::remember_late_fork(TagId id) noexcept
{
    if (id != caller_tag && id <= others_.size())
        others_[id - 1].late_fork = true;
}

bool Tags::forget_late_fork(TagId id) noexcept
{
    if (id == caller_tag || id > others_.size())
        return false;
    return std::exchange(others_[id - 1].late_fork, false);
}

} // namespace mediaproxy::session
