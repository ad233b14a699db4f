// SPDX-License-Identifier: GPL-2.0-or-later
#include "conformance/lent_memory.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <new>
#include <string_view>
#include <sys/mman.h>
#include <unistd.h>

namespace mediaproxy::conformance
{

namespace
{

constexpr std::size_t most_records = 16384;
constexpr std::byte in_front{0x5a};

std::atomic<std::size_t> record_count{0};

std::size_t page_size()
{
    static const auto size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    return size;
}

/// In a signal handler there is no allocating.
std::string_view compose(std::string_view before, std::string_view label, std::string_view behind)
{
    static std::array<char, 200> sentence;
    std::size_t size = 0;
    for (const std::string_view part : {before, label, behind}) {
        const std::size_t length = std::min(part.size(), sentence.size() - size);
        std::copy_n(part.data(), length, sentence.data() + size);
        size += length;
    }
    return {sentence.data(), size};
}

} // namespace

struct LentMemory::Record {
    const std::byte* first = nullptr; ///< behind the guard in front
    std::size_t pages = 0;
    std::atomic<State> state{State::writable};
    std::array<char, 48> label{};
};

LentMemory::Record* LentMemory::records() noexcept
{
    static std::array<Record, most_records> all;
    return all.data();
}

LentMemory::LentMemory(std::string_view label, std::size_t size)
    : size_(size),
      pages_((std::max<std::size_t>(size, 1) + page_size() - 1) / page_size() * page_size())
{
    const std::size_t index = record_count++;
    void* const memory =
        ::mmap(nullptr, pages_ + 2 * page_size(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || index >= most_records)
        throw std::bad_alloc();
    first_ = static_cast<std::byte*>(memory) + page_size();
    data_ = first_ + (pages_ - size);
    ::mprotect(first_, pages_, PROT_READ | PROT_WRITE);
    std::fill(first_, data_, in_front);

    record_ = records() + index;
    record_->first = first_;
    record_->pages = pages_;
    const std::size_t length = std::min(label.size(), record_->label.size() - 1);
    std::copy_n(label.data(), length, record_->label.data());
}

void LentMemory::protect() noexcept
{
    record_->state = State::readable;
    ::mprotect(first_, pages_, PROT_READ);
}

bool LentMemory::take_back() noexcept
{
    if (record_->state == State::taken_back)
        return true;
    const bool whole =
        std::all_of(first_, data_, [](std::byte there) { return there == in_front; });
    record_->state = State::taken_back;
    ::mprotect(first_, pages_, PROT_NONE);
    ::madvise(first_, pages_, MADV_DONTNEED);
    return whole;
}

std::string_view LentMemory::explain(const void* address) noexcept
{
    const auto* const at = static_cast<const std::byte*>(address);
    const std::size_t count = std::min(record_count.load(), most_records);
    for (const Record* record = records(); record != records() + count; ++record) {
        const std::byte* const end = record->first + record->pages;
        if (record->first == nullptr || at < record->first - page_size() || at >= end + page_size())
            continue;
        const bool taken_back = record->state == State::taken_back;
        return compose(taken_back           ? "it used "
                       : at >= end          ? "it went past the end of "
                       : at < record->first ? "it went in front of "
                                            : "it wrote, where it may only read, into ",
                       record->label.data(),
                       taken_back ? " later on: arguments are lent for the call, and what is kept "
                                    "must be copied"
                                  : "");
    }
    return {};
}

} // namespace mediaproxy::conformance
