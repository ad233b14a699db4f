// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "session/session_table.hpp"

namespace mediaproxy::relay
{

/// The report of a session that ended by itself, until its dispatcher has it.
struct Letter {
    std::string record_id;
    std::string json;
    bool sent = false; ///< over the present connection
};

/// The dispatchers as owners of sessions, and what waits to be told to each. A dispatcher of ours
/// is known by its name, a 4.x one by the address that the configuration gives. Memory is bounded:
/// when it is full the oldest report goes to the log instead. [core thread]
class Owners
{
public:
    using Id = session::OwnerId;
    static constexpr std::size_t most_bytes = 16U << 20;

    explicit Owners(std::size_t most = most_bytes);

    /// The number of that name; always the same while the relay runs.
    Id id_of(std::string_view name);
    const std::string& name(Id id) const;
    /// What `id` owns and will own belongs to `heir` from now on: it was the same dispatcher, or
    /// its successor.
    void bequeath(Id id, Id heir);
    /// It is its own again.
    void revoke(Id id);
    Id resolve(Id id) const noexcept;

    void put(Id id, std::string record_id, std::string json);
    std::deque<Letter>& letters(Id id) { return owners_[resolve(id)].letters; }
    /// The dispatcher has it; false when there is no such letter.
    bool acknowledge(Id id, std::string_view record_id);
    /// Takes the oldest letter away: it was sent to a peer that acknowledges nothing.
    void drop_first(Id id);
    std::size_t letter_count() const noexcept { return count_; }
    /// What could not be told to anybody goes to the log, record by record.
    void log_undelivered();

private:
    struct Owner {
        std::string name;
        Id heir = 0; ///< 0: nobody
        std::deque<Letter> letters;
    };
    void forget(Owner& owner, std::deque<Letter>::iterator letter);

    std::vector<Owner> owners_; ///< by number; 0 is nobody
    std::size_t most_;
    std::size_t bytes_ = 0, count_ = 0;
};

} // namespace mediaproxy::relay
