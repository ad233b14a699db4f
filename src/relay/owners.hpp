// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "relay/call_store.hpp"
#include "session/session_table.hpp"

namespace mediaproxy::relay
{

/// The report of a session that ended, until its dispatcher has it.
struct Letter {
    enum class Way : std::uint8_t {
        unsent,   ///< over the present connection
        told,     ///< as `expired`
        answered, ///< to a `remove`
    };
    std::string record_id;
    std::string json; ///< the argument of `expired`
    Way way = Way::unsent;
    bool saved = false; ///< in the store
    TimePoint since{};
    std::uint64_t end = 0;   ///< of told ones: bytes of the connection up to it; 0: not known yet
    session::OwnerId of = 0; ///< whom it was put for; an heir may have it
};

/// The dispatchers as owners of sessions, and what waits to be told to each. A dispatcher of ours
/// is known by its name, a 4.x one by the address that the configuration gives. What waits is in
/// the store too, but for a letter that is acknowledged soon after it was the answer to a `remove`:
/// that is most of them, and they never touch the disk. Memory is bounded: when it is full the
/// oldest report goes to the log instead. [core thread]
class Owners
{
public:
    using Id = session::OwnerId;
    static constexpr std::size_t most_bytes = 256U << 20;
    /// An answer to a `remove` that is not acknowledged for so long is saved. If the relay is
    /// killed before, its dispatcher has the answer, and the store the copy of the running call.
    static constexpr Milliseconds patience{50};

    /// `store` is borrowed; null: in memory only.
    explicit Owners(CallStore* store = nullptr, std::size_t most = most_bytes);

    /// The number of that name; always the same while the relay runs.
    Id id_of(std::string_view name);
    const std::string& name(Id id) const;
    /// What `id` owns and will own belongs to `heir` from now on: it was the same dispatcher, or
    /// its successor.
    void bequeath(Id id, Id heir);
    /// It is its own again.
    void revoke(Id id);
    /// It is here: what was put for it and waits unsent elsewhere comes back.
    void take_back(Id id);
    /// Nobody is looked for under `id` any more: whose heir it is gets the heir that it has, or
    /// none.
    void abandon(Id id);
    /// Those whose letters go to `id` or through it, and itself.
    std::vector<Id> behind(Id id) const;
    Id resolve(Id id) const noexcept;
    /// Another number when name() of an Id may be another one.
    std::uint64_t changes() const noexcept { return changes_; }

    void put(Id id, std::string record_id, std::string json, Letter::Way way = Letter::Way::unsent);
    const std::deque<Letter>& letters(Id id) const { return owners_[resolve(id)].letters; }
    std::size_t unsent_count(Id id) const { return owners_[resolve(id)].unsent; }
    /// Calls `each` for the unsent ones in their order, of which at most `window` are under way
    /// then as `expired`, and counts them as sent.
    template <class Each>
    void send(Id id, std::size_t window, Each each)
    {
        Owner& owner = owners_[resolve(id)];
        for (Letter& letter : owner.letters) {
            if (owner.unsent == 0 || owner.told >= window)
                return;
            if (letter.way != Letter::Way::unsent)
                continue;
            set_way(owner, letter, Letter::Way::told);
            each(letter);
        }
    }
    /// The connection is another one, or gone.
    void forget_sent(Id id);
    /// The dispatcher has it; false when there is no such letter.
    bool acknowledge(Id id, std::string_view record_id);
    /// Nobody is to be told of that session: it was told already to who acknowledges nothing.
    void forget_call(std::string_view record_id);
    std::size_t told_count(Id id) const { return owners_[resolve(id)].told; }
    // Of a peer that acknowledges nothing.
    /// All told ones are in the first `bytes` of the connection.
    void note_sent(Id id, std::uint64_t bytes) noexcept;
    /// The peer's host has the first `bytes` of the connection: takes away what was told in them.
    void drop_arrived(Id id, std::uint64_t bytes);
    std::size_t letter_count() const noexcept { return count_; }

    /// Letters in memory only; save_old() looks after them.
    std::size_t unsaved_count() const noexcept { return unsaved_; }
    /// Saves letters that are in memory only since before `limit`.
    void save_old(TimePoint limit);
    /// At the end: what could not be told to anybody is saved, or goes to the log, record by
    /// record.
    void keep_or_log();

private:
    struct Owner {
        std::string name;
        Id heir = 0; ///< 0: nobody
        std::deque<Letter> letters;
        std::size_t unsent = 0, told = 0;
    };
    static void set_way(Owner& owner, Letter& letter, Letter::Way way);
    void hand_over(Owner& owner, Letter& letter, Owner& next, TimePoint now);
    void save(const Owner& owner, Letter& letter);
    std::deque<Letter>::iterator forget(Owner& owner, std::deque<Letter>::iterator letter);

    CallStore* store_;
    std::vector<Owner> owners_; ///< by number; 0 is nobody
    std::size_t most_;
    std::uint64_t changes_ = 0;
    std::size_t bytes_ = 0, count_ = 0, unsaved_ = 0;
    TimePoint last_limit_ = TimePoint::min(); ///< of save_old()
};

} // namespace mediaproxy::relay
