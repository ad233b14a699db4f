// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/state_store.hpp"
#include "base/time.hpp"
#include "protocol/session_report.hpp"
#include "session/types.hpp"

namespace mediaproxy::relay
{

/// What the relay's store holds of itself and of calls, so that a kill -9 loses none: by record_id,
/// either the copy of a running call that was answered, or the report of one that ended, a letter.
/// A letter takes the place of the copy in one write, and nothing erases a copy before the
/// dispatcher has the record: at every moment one of the two is there. [core thread]
class CallStore
{
public:
    /// `store` null: nothing is kept.
    explicit CallStore(StateStore* store) : store_(store) {}
    bool keeps() const noexcept { return store_ != nullptr; }

    /// `age` is how long this run of the relay has lasted. What the call receives from then on,
    /// save_traffic() tells.
    void save_call(std::string_view owner, const protocol::SessionReport& report, Seconds age);
    /// What the saved calls of one stretch have received, as append_traffic() writes it: many at
    /// once, because this is told again and again. Takes the place of what was told of it before.
    void save_traffic(std::size_t stretch, std::string text);
    /// A call that was saved is in no stretch any more: what it had received in the end goes with
    /// the next one, until the copy of the call has gone. Of more than `most_ended` calls at once
    /// only what a stretch said earlier is kept.
    static constexpr std::size_t most_ended = 10000;
    void end_traffic(const session::SessionTraffic& traffic);
    /// That the relay still ran at that age, for the durations of calls that had not changed.
    void save_age(Seconds age);
    void save_letter(std::string_view record_id, std::string_view owner, std::string_view json);
    void erase(std::string_view record_id);

    /// By what dispatchers know this relay again: what an earlier run said, else `fresh`. At start
    /// only.
    std::string instance(std::string fresh);

    /// The plugin by which this run forwards, if its flows outlive a kill; "" when there is none.
    void save_forwarding(std::string_view plugin);
    /// That of an earlier run that did not come to its orderly end. At start only.
    std::string forwarding() const;

    /// What an earlier run left, each as the letter to be sent: a running call is marked lost and
    /// has lasted until the last sign of life of that run. What cannot be read is erased and
    /// logged. At start only.
    using EachLetter =
        std::function<void(std::string record_id, std::string_view owner, std::string json)>;
    void load(const EachLetter& each);

private:
    struct Saved;

    Result<Saved> read() const;
    std::string told(std::string_view wanted) const;
    void save_ended();
    void forget_ended(std::string_view record_id);

    StateStore* store_;
    std::map<std::string, std::string, std::less<>> ended_; ///< lines of traffic by record_id
    bool ended_changed_ = false;                            ///< since they were saved
};

/// A value in the store.
struct SavedCall {
    bool running = false;
    Seconds age{0}; ///< of the relay when it was saved; of running ones
    std::string_view owner, json;
};
std::string encode(const SavedCall& call);
/// Views into `text`; nothing when it is damaged.
std::optional<SavedCall> decode_saved_call(std::string_view text);
/// What one call has received, as a line of text.
void append_traffic(std::string& text, const session::SessionTraffic& traffic);
/// By record_id.
using TrafficByCall = std::map<std::string, std::vector<session::StreamTraffic>, std::less<>>;
/// Damaged lines are passed over; of two of the same call what is more counts.
void read_traffic(std::string_view text, TrafficByCall& found);
/// What was received later than the report says. No count shrinks.
void add_later(protocol::SessionReport& report, std::vector<session::StreamTraffic> later);
/// The report of a call that a killed relay had; `unseen` is for how long it lived on, as far as is
/// known, after it was saved.
protocol::SessionReport make_lost(protocol::SessionReport report, Seconds unseen);

} // namespace mediaproxy::relay
