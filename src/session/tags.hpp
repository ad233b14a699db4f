// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mediaproxy::session
{

/// A dialog tag by its number within one session.
using TagId = std::uint8_t;
inline constexpr TagId caller_tag = 0;     ///< the session's from_tag
inline constexpr TagId unknown_tag = 0xfe; ///< a tag that was not noted
inline constexpr TagId no_tag = 0xff;      ///< the message has none

/// The dialog tags that a session has met; each counts its own CSeq.
class Tags
{
public:
    /// `own` is the session's from_tag, borrowed for the session's life.
    explicit Tags(std::string_view own) noexcept : own_(own) {}

    TagId find(std::string_view tag) const noexcept;
    /// unknown_tag when this session has met too many tags.
    TagId note(std::string_view tag);
    bool has_room() const noexcept { return others_.size() < most_others; }
    std::string_view text(TagId id) const noexcept;

    /// Is the number above all that came with this tag?
    bool is_newer(TagId id, std::uint32_t cseq) const noexcept;
    void count(TagId id, std::uint32_t cseq) noexcept;

    /// The tag of a fork that answered too late: its `remove` does not mean the call.
    void remember_late_fork(TagId id) noexcept;
    /// True when it was one, once.
    bool forget_late_fork(TagId id) noexcept;

private:
    // Forking phones bring a handful; more is somebody's loop.
    static constexpr std::size_t most_others = 64;

    struct Count {
        std::uint32_t highest = 0;
        bool any = false;
    };
    struct Other {
        std::string tag;
        Count count;
        bool late_fork = false;
    };
    const Count* count_of(TagId id) const noexcept;

    std::string_view own_;
    Count own_count_;
    std::vector<Other> others_; ///< TagId 1, 2, ...
};

} // namespace mediaproxy::session
