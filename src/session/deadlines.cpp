// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/deadlines.hpp"

#include "session/session.hpp"

namespace mediaproxy::session
{

void Deadlines::add(Session& session, TimePoint at)
{
    heap_.push_back(Entry{at, &session});
    session.heap_index = heap_.size() - 1;
    rise(session.heap_index);
}

void Deadlines::move(Session& session, TimePoint at) noexcept
{
    heap_[session.heap_index].at = at;
    rise(session.heap_index);
    sink(session.heap_index);
}

void Deadlines::remove(Session& session) noexcept
{
    const std::size_t hole = session.heap_index;
    const Entry last = heap_.back();
    heap_.pop_back();
    if (hole == heap_.size())
        return;
    put(hole, last);
    rise(hole);
    sink(last.session->heap_index);
}

std::optional<TimePoint> Deadlines::next() const noexcept
{
    if (heap_.empty())
        return std::nullopt;
    return heap_.front().at;
}

Session* Deadlines::due(TimePoint now) const noexcept
{
    return !heap_.empty() && heap_.front().at <= now ? heap_.front().session : nullptr;
}

void Deadlines::put(std::size_t index, const Entry& entry) noexcept
{
    heap_[index] = entry;
    entry.session->heap_index = index;
}

void Deadlines::rise(std::size_t index) noexcept
{
    const Entry entry = heap_[index];
    while (index > 0 && entry.at < heap_[(index - 1) / 2].at) {
        put(index, heap_[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    put(index, entry);
}

void Deadlines::sink(std::size_t index) noexcept
{
    const Entry entry = heap_[index];
    for (std::size_t child = 2 * index + 1; child < heap_.size(); child = 2 * index + 1) {
        if (child + 1 < heap_.size() && heap_[child + 1].at < heap_[child].at)
            ++child;
        if (entry.at <= heap_[child].at)
            break;
        put(index, heap_[child]);
        index = child;
    }
    put(index, entry);
}

} // namespace mediaproxy::session
