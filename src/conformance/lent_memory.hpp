// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace mediaproxy::conformance
{

/// An argument of a call, in pages of its own between two pages that nobody may touch. It ends
/// where its last page ends, so that not a byte behind it can be used; what is in front of it in
/// its first page is looked at by take_back(). Once taken back nobody may touch it either: its
/// addresses are never used again, and a crash there is told from others.
class LentMemory
{
public:
    /// `label` names it in sentences: "the records of write". Throws std::bad_alloc.
    LentMemory(std::string_view label, std::size_t size);
    ~LentMemory() { take_back(); }
    LentMemory(const LentMemory&) = delete;
    LentMemory& operator=(const LentMemory&) = delete;

    /// Aligned to 8 bytes when the size is a multiple of it.
    std::byte* data() const noexcept { return data_; }
    std::size_t size() const noexcept { return size_; }
    /// The plugin may read it only, from now on.
    void protect() noexcept;
    /// False when the bytes in front of it were changed.
    bool take_back() noexcept;

    /// What a crash at this address means, for a signal handler: it calls nothing that allocates.
    /// Empty when nothing was lent there.
    static std::string_view explain(const void* address) noexcept;

private:
    enum class State : int { writable, readable, taken_back };
    struct Record;
    static Record* records() noexcept;

    std::size_t size_;
    std::size_t pages_; ///< bytes of them, without the two that guard
    std::byte* first_;
    std::byte* data_;
    Record* record_;
};

} // namespace mediaproxy::conformance
