// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

namespace mediaproxy::store
{

/// Which keys of the state tables are on disk, or on their way there. Eight bytes and a node a key:
/// by hash, of which two the same are too unlikely to plan for.
class KeysOnDisk
{
public:
    void add(std::string_view key) { hashes_.insert(hash(key)); }
    void remove(std::string_view key) { hashes_.erase(hash(key)); }
    bool contains(std::string_view key) const { return hashes_.contains(hash(key)); }

private:
    static std::size_t hash(std::string_view key) { return std::hash<std::string_view>{}(key); }
    std::unordered_set<std::size_t> hashes_;
};

/// Of what is committed at once; no other batch ever has the same.
struct BatchNumber {
    std::uint64_t start = 0; ///< of the process, which counts its starts; 0: no number
    std::uint64_t batch = 0;

    bool operator==(const BatchNumber&) const = default;
    bool operator<(const BatchNumber& other) const noexcept
    {
        return start != other.start ? start < other.start : batch < other.batch;
    }
};

/// What waits to be committed. The last write to a key wins.
struct Changes {
    struct NewRecord {
        std::string backend, record_id, body;
        std::int64_t made_at; ///< unstepped_time()
    };
    struct Parked {
        std::uint64_t sequence;
        std::string reason;
    };

    /// Table and key in one string; nothing = erased.
    std::unordered_map<std::string, std::optional<std::string>> state;
    std::vector<NewRecord> records;
    std::vector<std::uint64_t> done;
    std::vector<Parked> parked;
    std::size_t record_bytes = 0;
    BatchNumber number; ///< committed with them: the database tells that it has this batch

    static std::string join(std::string_view table, std::string_view key);
    static std::string_view table_of(std::string_view joined);
    static std::string_view key_of(std::string_view joined);

    bool empty() const noexcept
    {
        return state.empty() && records.empty() && done.empty() && parked.empty();
    }
    void save(std::string_view table, std::string_view key, std::string value);
    void erase(std::string_view table, std::string_view key, const KeysOnDisk& on_disk);
    void put_record(const std::vector<std::string>& backends, std::string_view record_id,
                    std::string_view body, std::int64_t made_at);
    /// What the keys on disk are once this is committed.
    void apply_to(KeysOnDisk& on_disk) const;
};

} // namespace mediaproxy::store
