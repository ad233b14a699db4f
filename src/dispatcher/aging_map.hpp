// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/time.hpp"

namespace mediaproxy::dispatcher
{

/// Small values by hash, each forgotten after the same time. Flat tables, one for each third of
/// that time, so that a busy hour leaves no heap of little nodes behind: an old table goes as a
/// whole. [pure]
template <class Value>
class AgingMap
{
public:
    explicit AgingMap(Duration keep) : keep_(keep) {}

    void put(std::uint64_t key, const Value& value, TimePoint now)
    {
        age(now);
        insert(young(), {key == 0 ? 1 : key, now + keep_, value});
    }
    /// The value that was put last and not too long ago; null: none.
    const Value* find(std::uint64_t key, TimePoint now)
    {
        age(now);
        if (size() == 0)
            return nullptr;
        for (std::size_t back = 0; back < tables_.size(); ++back) {
            const Table& table = tables_[(turn_ + tables_.size() - back) % tables_.size()];
            const Entry* const entry = look_up(table, key == 0 ? 1 : key);
            if (entry)
                return entry->until > now ? &entry->value : nullptr;
        }
        return nullptr;
    }
    /// Drops what is too old; put() and find() do it, too.
    void age(TimePoint now)
    {
        for (unsigned i = 0; i < tables_.size() && now >= next_turn_; ++i) {
            turn_ = (turn_ + 1) % tables_.size();
            young() = Table{};
            next_turn_ += keep_ / 3;
        }
        if (now >= next_turn_)
            next_turn_ = now + keep_ / 3;
    }
    /// Entries in memory, some of them too old.
    std::size_t size() const noexcept
    {
        std::size_t all = 0;
        for (const Table& table : tables_)
            all += table.used;
        return all;
    }

private:
    struct Entry {
        std::uint64_t key = 0; ///< 0: free
        TimePoint until{};
        Value value{};
    };
    struct Table {
        std::vector<Entry> entries; ///< a power of two of them, at most three quarters used
        std::size_t used = 0;
    };

    Table& young() { return tables_[turn_]; }
    static std::size_t place(const Table& table, std::uint64_t key)
    {
        const std::size_t mask = table.entries.size() - 1;
        std::size_t at = (key * 0x9e3779b97f4a7c15U >> 20) & mask;
        while (table.entries[at].key != 0 && table.entries[at].key != key)
            at = (at + 1) & mask;
        return at;
    }
    static const Entry* look_up(const Table& table, std::uint64_t key)
    {
        if (table.entries.empty())
            return nullptr;
        const Entry& entry = table.entries[place(table, key)];
        return entry.key == key ? &entry : nullptr;
    }
    static void insert(Table& table, const Entry& entry)
    {
        if ((table.used + 1) * 4 > table.entries.size() * 3) {
            Table larger;
            larger.entries.resize(table.entries.empty() ? 64 : table.entries.size() * 2);
            for (const Entry& old : table.entries) {
                if (old.key != 0)
                    insert(larger, old);
            }
            table = std::move(larger);
        }
        Entry& where = table.entries[place(table, entry.key)];
        table.used += where.key == 0 ? 1 : 0;
        where = entry;
    }

    Duration keep_;
    /// The youngest is filled; when the next one's turn comes, all in it is too old.
    std::array<Table, 4> tables_;
    std::size_t turn_ = 0;
    TimePoint next_turn_{};
};

} // namespace mediaproxy::dispatcher
