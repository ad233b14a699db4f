// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "store/changes.hpp"

namespace mediaproxy::store
{

/// What stands in front of the database: changes that wait for their commit, in a file that is
/// mapped into memory. What is written there survives kill -9 at once, without a system call and
/// without another thread, so that nobody has to wait for a commit. (Over a power cut only what the
/// kernel had written by then; the database is what must survive that.) It has room for two
/// batches: one that gathers, and one that is being committed. Not thread-safe.
class Journal
{
public:
    /// The batches, with their numbers, that a process left in the file at `path`, in their order;
    /// none where there is no file. Blocks.
    static Result<std::vector<Changes>> read(const std::string& path);
    /// Makes the file, empty, in the place of any that is there. Blocks.
    static Result<Journal> make(const std::string& path);

    /// From now on changes belong to this batch. The one before the last has to have ended.
    void begin(BatchNumber number);
    /// The oldest batch is in the database.
    void end();
    /// The batch that gathers has come to nothing.
    void discard();
    /// Little has to be written for now: gives memory back that a flood has taken. False when there
    /// was none.
    bool trim();

    // Changes of one entry; nothing of them counts before write().
    void save(std::string_view table, std::string_view key, std::string_view value);
    void erase(std::string_view table, std::string_view key);
    void put_record(const std::vector<std::string>& backends, std::string_view record_id,
                    std::string_view body, std::int64_t made_at);
    /// All of them, or none. False when there was no room, then and for the rest of the batch.
    bool write();
    /// The file is not there any more behind the memory, or its disk is full where it takes new
    /// room to write over something: nothing will ever be written again.
    bool is_lost() const noexcept { return is_lost_; }
    bool has_unwritten() const noexcept { return !entry_.empty(); }

    static constexpr std::size_t batch_capacity = 4UL * 1024 * 1024; ///< bytes
    static constexpr std::size_t kept_by_trim = 16UL * 1024;         ///< bytes of a batch

private:
    struct Unmap {
        void operator()(std::byte* memory) const noexcept;
    };
    explicit Journal(std::byte* memory) : memory_(memory) {}

    std::span<std::byte> segment(std::size_t which) const;
    void empty(std::size_t which);
    void put(std::string_view bytes);
    void put_number(std::uint64_t number);

    std::unique_ptr<std::byte, Unmap> memory_; ///< of two batches
    std::size_t gathering_ = 0;                ///< the segment of the batch that gathers
    BatchNumber number_;
    std::size_t used_ = 0;    ///< bytes of it
    std::size_t touched_ = 0; ///< bytes of any segment since the last trim()
    std::uint32_t entries_ = 0;
    bool full_ = false, is_lost_ = false;
    std::string entry_;
};

} // namespace mediaproxy::store
