// SPDX-License-Identifier: GPL-2.0-or-later
#include "conformance/notes.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <mutex>
#include <new>
#include <sys/mman.h>

#include "base/text.hpp"

namespace mediaproxy::conformance
{

namespace
{

/// The one of this process: the runner forks while it has one thread.
std::mutex writing;

thread_local const char* current_call = "";

std::int64_t now_ms()
{
    return std::chrono::duration_cast<Milliseconds>(BootClock::now().time_since_epoch()).count();
}

template <std::size_t size>
void assign(std::array<char, size>& field, std::string_view text) noexcept
{
    const std::size_t length = std::min(text.size(), size - 1);
    std::copy_n(text.data(), length, field.data());
    field[length] = '\0';
}

} // namespace

void Notes::Unmap::operator()(Notes* notes) const noexcept
{
    ::munmap(notes, sizeof *notes);
}

Result<Notes::Shared> Notes::make()
{
    void* const memory =
        ::mmap(nullptr, sizeof(Notes), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return Error{Error::Code::exhausted,
                     std::string("memory for a trial: ") + std::strerror(errno)};
    return Shared(new (memory) Notes);
}

void Notes::add(Grade grade, std::string_view sentence) noexcept
{
    const std::string line =
        static_cast<char>(grade) + text::printable(sentence, 2 * text_.size() / 64) + "\n";
    const std::lock_guard held(writing);
    const std::size_t used = used_;
    const std::string_view said(text_.data(), used);
    if (said.find(line) != said.npos || line.size() > text_.size() - used)
        return;
    std::copy(line.begin(), line.end(), text_.begin() + static_cast<std::ptrdiff_t>(used));
    used_ = used + line.size();
}

void Notes::set_situation(std::string_view situation) noexcept
{
    assign(situation_, situation);
}

void Notes::keep_crash(const char* call, std::string_view detail) noexcept
{
    assign(crashed_call_, call);
    assign(crash_detail_, detail);
}

std::vector<Finding> Notes::findings() const
{
    std::vector<Finding> found;
    for (const std::string_view line : text::split({text_.data(), used_}, '\n')) {
        if (!line.empty())
            found.push_back({static_cast<Grade>(line.front()), std::string(line.substr(1))});
    }
    return found;
}

std::optional<std::string> Notes::find_hanging(Milliseconds patience) const
{
    for (const Slot& slot : slots_) {
        const std::int64_t since = slot.since_ms;
        if (since != 0 && now_ms() - since > patience.count())
            return slot.name.data();
    }
    return std::nullopt;
}

Notes::Call::Call(Notes& notes, const char* name) noexcept : notes_(notes), outer_(current_call)
{
    current_call = name;
    while (slot_ < notes_.slots_.size() && notes_.slots_[slot_].taken.exchange(true))
        ++slot_;
    if (slot_ == notes_.slots_.size())
        return;
    assign(notes_.slots_[slot_].name, name);
    notes_.slots_[slot_].since_ms = now_ms();
}

Notes::Call::~Call()
{
    current_call = outer_;
    if (slot_ == notes_.slots_.size())
        return;
    notes_.slots_[slot_].since_ms = 0;
    notes_.slots_[slot_].taken = false;
}

const char* Notes::Call::current() noexcept
{
    return current_call;
}

} // namespace mediaproxy::conformance
