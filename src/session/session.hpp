// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/command.hpp"
#include "protocol/reply.hpp"
#include "session/rounds.hpp"
#include "session/stream.hpp"

namespace mediaproxy::session
{

/// One SIP dialog's media: its rounds of offer and answer, its streams and their timers.
class Session
{
public:
    /// `opening` is an update with media of a session that is not known yet; hand it to update()
    /// next, and drop the session when that fails.
    Session(Surroundings& shared, const protocol::Update& opening, OwnerId owner,
            std::uint64_t serial, const Now& now);
    ~Session();
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;

    std::string_view call_id() const noexcept { return part(0, ends_[0]); }
    std::string_view from_tag() const noexcept { return part(ends_[0], ends_[1]); }
    OwnerId owner() const noexcept { return owner_; }
    std::uint64_t serial() const noexcept { return serial_; }
    /// Has a start_time: a record will be made of it.
    bool was_answered() const noexcept { return started_.has_value(); }
    /// Another number when the report would tell more than that time has passed and that more was
    /// received.
    std::uint64_t revision() const noexcept;

    /// The ports for the SDP, or an error that has changed nothing.
    Result<protocol::Ports> update(const protocol::Update& update, const Now& now);

    /// True, once, for the other tag of a fork that answered too late: the call goes on.
    bool forget_late_fork(const protocol::Remove& remove) noexcept;

    /// Ends what is due; true when that was the end of the session.
    bool expire(const Now& now);
    /// When expire() must be called again, whatever packets come before.
    TimePoint next_deadline(TimePoint now) const noexcept;
    /// Every stream that lives is closed.
    void close(TimePoint now) noexcept;

    /// Has a stream that goes on.
    bool any_alive() const noexcept;
    protocol::SessionReport report(TimePoint now) const;
    SessionTraffic traffic() const;

    /// For tests and diagnosis.
    const std::vector<std::unique_ptr<Stream>>& streams() const noexcept { return streams_; }
    MessageRole last_role() const noexcept { return last_role_; }

    // Where a table of sessions keeps it.
    std::size_t list_slot = 0;
    std::size_t heap_index = 0;
    std::uint64_t told_revision = 0; ///< to whoever keeps copies; 0: nothing was told

private:
    struct Message;
    /// A bound for scripts that re-offer for ever.
    static constexpr std::size_t most_streams = 1000;

    // Offers and answers.
    Result<protocol::Ports> with_media(const Message& message, const Now& now);
    Result<protocol::Ports> without_media(const Message& message, const Now& now);
    Result<protocol::Ports> offer(const Message& message, const Now& now);
    Result<protocol::Ports> answer(const Message& message, Round& round, bool by_prack,
                                   const Now& now);
    Result<protocol::Ports> again(const Message& message, Round& round, const Now& now);
    Result<protocol::Ports> old(const Message& message, Round& round, const Now& now);

    Message understand(const protocol::Update& update) const;
    Result<void> check(const Message& message, const Round& round) const;
    Stream* stream_to_keep(const Message& message, std::size_t place,
                           const std::vector<Place>& taken) const;
    bool keeps(const Stream& stream, const Message& message,
               const protocol::MediaLine& line) const noexcept;
    Result<std::unique_ptr<Stream>> open_stream(const Message& message,
                                                const protocol::MediaLine& line, TimePoint now);
    Result<LocalAddress> local_address(const Message& message, Party party) const;
    void undo_unanswered_offers(TagId owner, TimePoint now) noexcept;
    void end_orphans(TimePoint now) noexcept;
    void propose(const Message& message, const protocol::MediaLine& line, Place& place,
                 TimePoint now) noexcept;
    enum class Reset : bool { when_changed, always };
    void hear(const Message& message, const protocol::MediaLine& line, Place& place, Reset reset,
              TimePoint now) noexcept;
    void close_replaced(const Round& round, TimePoint now) noexcept;
    void adopt_live_streams(Round& round) noexcept;
    void note_reply(const Message& message, Round& round, const Now& now);
    void note_to_tag(const Message& message);
    void note_speaker(const Message& message);
    void drop_traceless() noexcept;
    Stream* answered_at(std::size_t place) const noexcept;
    bool is_own_port(const net::Endpoint& endpoint) const noexcept;
    void set_signalled(Stream& stream, Party party, const net::Endpoint& endpoint) noexcept;
    std::string record_id() const;
    std::vector<const Stream*> in_report() const;
    std::uint64_t fingerprint(const Message& message,
                              const std::vector<Place>& places) const noexcept;

    // The reply.
    enum class Missing : bool { is_zero, is_live_stream };
    protocol::Ports ports_for(const Message& message, const std::vector<Place>& places,
                              Missing missing, const net::Address& fallback) const;
    Result<net::Address> told_address(const Message& message,
                                      const std::vector<std::unique_ptr<Stream>>& fresh = {}) const;

    // Timers.
    static bool waits_for_answer(const Stream& stream) noexcept;
    TimePoint answer_deadline(const Stream& stream) const noexcept;
    TimePoint answer_deadline() const noexcept; ///< the first of all
    TimePoint empty_deadline() const noexcept;
    TimePoint duration_deadline() const noexcept;
    bool end_unanswered(TimePoint now) noexcept; ///< whether any was due
    void end_unanswered(Stream& stream, TimePoint now) noexcept;

    std::string_view part(std::uint32_t begin, std::uint32_t end) const noexcept
    {
        return std::string_view(text_).substr(begin, end - begin);
    }

    Surroundings& shared_;
    std::string text_;      ///< call_id, from_tag, from_uri and to_uri behind one another
    std::uint32_t ends_[3]; ///< of the first three
    OwnerId owner_;
    std::uint64_t serial_;
    std::uint64_t updates_ = 0; ///< that changed something, or might have
    Tags tags_;
    TagId to_tag_ = no_tag;
    MessageRole last_role_ = MessageRole::none;
    bool confirmed_ = false; ///< an offer was answered finally
    PerParty<net::Address> signaling_;
    std::string caller_ua_, callee_ua_, username_;
    Rounds rounds_;
    std::vector<Stream*> answered_; ///< by place: the last set that was answered finally
    std::vector<std::unique_ptr<Stream>> streams_; ///< in the order in which they were made
    Now created_;
    std::optional<Now> started_; ///< the first answer with media
    std::optional<WallTime> answered_time_;
    TimePoint empty_since_; ///< no stream is alive since, when none is
};

} // namespace mediaproxy::session
