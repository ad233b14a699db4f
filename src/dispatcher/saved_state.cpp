// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/saved_state.hpp"

#include <algorithm>
#include <bit>
#include <fmt/format.h>

#include "base/log.hpp"
#include "base/text.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

constexpr std::string_view table = "sessions";
constexpr std::string_view version = "2";
constexpr std::chrono::milliseconds delay{20};

void put(std::string& out, std::string_view field)
{
    fmt::format_to(std::back_inserter(out), "{}:{}", field.size(), field);
}
void put(std::string& out, std::uint64_t number)
{
    put(out, std::string_view(fmt::format_int(number).c_str()));
}

/// Takes the fields off a text one after the other; `good` turns false at the first damaged one.
struct FieldReader {
    std::string_view text;
    bool good = true;

    std::string_view next()
    {
        const std::size_t colon = text.find(':');
        const auto size = text::parse_number<std::size_t>(text.substr(0, colon));
        if (colon == std::string_view::npos || !size || *size > text.size() - colon - 1) {
            good = false;
            return {};
        }
        const std::string_view field = text.substr(colon + 1, *size);
        text.remove_prefix(colon + 1 + *size);
        return field;
    }
    std::uint64_t number()
    {
        const auto value = text::parse_number<std::uint64_t>(next());
        good = good && value;
        return value.value_or(0);
    }
};

std::uint64_t to_number(WallTime time)
{
    return static_cast<std::uint64_t>(std::max<std::int64_t>(0, time.time_since_epoch().count()));
}
WallTime to_wall(std::uint64_t number)
{
    return WallTime(std::chrono::microseconds(static_cast<std::int64_t>(number)));
}

} // namespace

std::string make_key(std::string_view call_id, std::string_view from_tag)
{
    return fmt::format("{}:{}{}", call_id.size(), call_id, from_tag);
}

std::string encode_session(const Session& session, std::string_view relay)
{
    std::string out;
    out.reserve(256);
    for (const std::string_view field :
         {version, relay, std::string_view(session.call_id), std::string_view(session.from_tag),
          std::string_view(session.to_tag), std::string_view(session.from_uri),
          std::string_view(session.to_uri), std::string_view(session.caller_ua),
          std::string_view(session.callee_ua), std::string_view(session.username),
          std::string_view(session.dialog_id)})
        put(out, field);
    for (const std::uint64_t number :
         {std::uint64_t{session.caller_cseq}, std::uint64_t{session.callee_cseq},
          std::uint64_t{session.state == Session::State::expired},
          std::uint64_t{session.offered_by_caller}, to_number(session.created),
          to_number(session.expired_at), std::uint64_t{session.start_time.has_value()},
          std::bit_cast<std::uint64_t>(session.start_time.value_or(0)),
          std::uint64_t{session.answered}})
        put(out, number);
    return out;
}

std::optional<SavedSession> decode_session(std::string_view text)
{
    FieldReader in{text};
    if (in.next() != version)
        return std::nullopt;
    SavedSession saved;
    Session& session = saved.session;
    for (std::string* const field :
         {&saved.relay, &session.call_id, &session.from_tag, &session.to_tag, &session.from_uri,
          &session.to_uri, &session.caller_ua, &session.callee_ua, &session.username,
          &session.dialog_id})
        *field = in.next();
    session.caller_cseq = static_cast<std::uint32_t>(in.number());
    session.callee_cseq = static_cast<std::uint32_t>(in.number());
    session.state = in.number() != 0 ? Session::State::expired : Session::State::active;
    session.offered_by_caller = in.number() != 0;
    session.created = to_wall(in.number());
    session.expired_at = to_wall(in.number());
    const bool started = in.number() != 0;
    const auto start = std::bit_cast<double>(in.number());
    if (started)
        session.start_time = start;
    session.answered = in.number() != 0;
    if (!in.good || session.call_id.empty() || session.from_tag.empty())
        return std::nullopt;
    return saved;
}

SavedState::SavedState(asio::io_context& io, StateStore* store, const RelayPool& pool)
    : store_(store), pool_(pool), timer_(io)
{
}

void SavedState::load(SessionDirectory& directory, RelayPool& pool, const Now& now)
{
    if (!store_)
        return;
    std::vector<SavedSession> sessions;
    std::vector<std::string> damaged;
    const auto loaded = store_->load_all(table, [&](std::string_view key, std::string_view value) {
        if (auto saved = decode_session(value))
            sessions.push_back(std::move(*saved));
        else
            damaged.emplace_back(key);
    });
    for (const std::string& key : damaged)
        store_->erase(table, key);
    if (!loaded)
        log::error("dispatcher: the sessions of the earlier run cannot be read: {}",
                   loaded.error().message);
    std::sort(sessions.begin(), sessions.end(), [](const auto& a, const auto& b) {
        return a.session.expired_at < b.session.expired_at;
    });
    for (SavedSession& saved : sessions) {
        saved.session.relay = pool.know(saved.relay, now.mono);
        saved.session.saved = true;
        // Older than any question that this run will ask.
        saved.session.created_mono = now.mono;
        if (!directory.find_exact(saved.session.call_id, saved.session.from_tag))
            directory.add(std::move(saved.session));
    }
    if (!damaged.empty())
        log::warning("dispatcher: {} saved sessions cannot be read and are passed over",
                     damaged.size());
    if (!sessions.empty())
        log::info("dispatcher: {} sessions known from the earlier run", sessions.size());
}

void SavedState::on_changed(Session& session)
{
    if (!store_ || session.unsaved_place)
        return;
    session.unsaved_place = static_cast<std::uint32_t>(unsaved_.size());
    unsaved_.push_back(&session);
    if (std::exchange(armed_, true))
        return;
    timer_.expires_after(delay);
    timer_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const asio::error_code& error) {
        if (error || alive.expired())
            return;
        armed_ = false;
        flush();
    });
}

void SavedState::on_erased(Session& session)
{
    if (!store_)
        return;
    take_out(session);
    if (session.saved)
        store_->erase(table, make_key(session.call_id, session.from_tag));
}

void SavedState::take_out(Session& session)
{
    if (!session.unsaved_place)
        return;
    const std::uint32_t place = *session.unsaved_place;
    unsaved_[place] = unsaved_.back();
    unsaved_[place]->unsaved_place = place;
    unsaved_.pop_back();
    session.unsaved_place.reset();
}

void SavedState::save(Session& session)
{
    if (!store_)
        return;
    take_out(session);
    session.saved = true;
    store_->save(table, make_key(session.call_id, session.from_tag),
                 encode_session(session, pool_.name(session.relay)));
}

void SavedState::flush()
{
    while (!unsaved_.empty())
        save(*unsaved_.back());
}

} // namespace mediaproxy::dispatcher
