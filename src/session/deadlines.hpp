// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "base/time.hpp"

namespace mediaproxy::session
{

class Session;

/// When to look at which session: a binary heap in which each session stands once and knows its
/// place (Session::heap_index).
class Deadlines
{
public:
    void add(Session& session, TimePoint at);
    void move(Session& session, TimePoint at) noexcept;
    void remove(Session& session) noexcept;

    std::optional<TimePoint> next() const noexcept;
    /// The session whose time has come, or null.
    Session* due(TimePoint now) const noexcept;

private:
    struct Entry {
        TimePoint at;
        Session* session; ///< borrowed; removed before it goes
    };
    void put(std::size_t index, const Entry& entry) noexcept;
    void rise(std::size_t index) noexcept;
    void sink(std::size_t index) noexcept;

    std::vector<Entry> heap_;
};

} // namespace mediaproxy::session
