// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/session_directory.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

namespace mediaproxy::dispatcher
{

namespace
{

double to_epoch(WallTime time)
{
    return std::chrono::duration<double>(time.time_since_epoch()).count();
}

/// Sets a text once; later values do not count.
bool set_once(std::string& where, std::string_view text)
{
    if (!where.empty() || text.empty())
        return false;
    where = text;
    return true;
}

} // namespace

Session make_session(const protocol::Update& update, RelayId relay, const Now& now)
{
    Session session;
    session.call_id = update.call_id;
    session.from_tag = update.from_tag;
    session.from_uri = update.from_uri;
    session.to_uri = update.to_uri;
    session.relay = relay;
    session.created = now.wall;
    session.created_mono = now.mono;
    session.offered_by_caller = update.type == protocol::MessageType::request;
    apply_update(session, update, now);
    return session;
}

bool apply_update(Session& session, const protocol::Update& update, const Now& now)
{
    const bool same = update.from_tag == session.from_tag;
    const bool by_caller = same == (update.type == protocol::MessageType::request);
    bool changed = false;
    std::uint32_t& cseq = same ? session.caller_cseq : session.callee_cseq;
    if (update.cseq > cseq) {
        cseq = update.cseq;
        changed = true;
    }
    changed |= set_once(session.to_tag, same ? update.to_tag : update.from_tag);
    if (update.type == protocol::MessageType::reply && !update.to_tag.empty())
        changed |= !std::exchange(session.answered, true);
    changed |= set_once(by_caller ? session.caller_ua : session.callee_ua, update.user_agent);
    changed |= set_once(session.username, update.signaling.username);
    if (!update.dialog_id.empty() && update.dialog_id != session.dialog_id) {
        session.dialog_id = update.dialog_id;
        changed = true;
    }
    if (!session.start_time && update.has_media && by_caller != session.offered_by_caller) {
        session.start_time = to_epoch(now.wall);
        changed = true;
    }
    return changed;
}

Session make_session(const protocol::SessionReport& report, RelayId relay, const Now& now)
{
    const auto known = [](const std::string& text) {
        return text == "Unknown" ? std::string() : text;
    };
    Session session;
    session.call_id = report.call_id;
    session.from_tag = report.from_tag;
    session.to_tag = report.to_tag;
    session.from_uri = report.from_uri;
    session.to_uri = report.to_uri;
    session.caller_ua = known(report.caller_ua);
    session.callee_ua = known(report.callee_ua);
    session.username = report.username;
    session.dialog_id = report.dialog_id.value_or(std::string());
    session.relay = relay;
    session.created = now.wall;
    session.created_mono = now.mono;
    session.start_time = report.start_time;
    session.answered = report.answered_time.has_value();
    return session;
}

protocol::SessionReport make_lost_report(const Session& session, const Now& now)
{
    protocol::SessionReport report;
    report.call_id = session.call_id;
    report.from_tag = session.from_tag;
    report.to_tag = session.to_tag;
    report.from_uri = session.from_uri;
    report.to_uri = session.to_uri;
    if (!session.caller_ua.empty())
        report.caller_ua = session.caller_ua;
    if (!session.callee_ua.empty())
        report.callee_ua = session.callee_ua;
    report.username = session.username;
    report.start_time = session.start_time;
    const WallTime end = session.expired_at == WallTime{} ? now.wall : session.expired_at;
    if (session.start_time)
        report.duration = std::max<std::int64_t>(
            0, static_cast<std::int64_t>(to_epoch(end) - *session.start_time));
    report.lost = true;
    return report;
}

void date_first_streams(protocol::SessionReport& report, const Session& session)
{
    const double created = to_epoch(session.created);
    if (created > report.start_time.value_or(0)) // it was listed, or the clocks differ
        return;
    for (protocol::StreamReport& stream : report.streams) {
        if (!stream.created_at && stream.start_time == 0)
            stream.created_at = created;
    }
}

SessionDirectory::SessionDirectory()
{
    sessions_.reserve(4096);
}

Session* SessionDirectory::find(std::string_view call_id, std::string_view from_tag,
                                std::string_view to_tag) noexcept
{
    Session* by_to_tag = nullptr;
    const auto [begin, end] = sessions_.equal_range(call_id);
    for (auto at = begin; at != end; ++at) {
        Session& session = *at->second;
        if (session.from_tag == from_tag)
            return &session;
        if (session.from_tag == to_tag)
            by_to_tag = &session;
    }
    return by_to_tag;
}

std::optional<RelayId> SessionDirectory::relay_of(std::string_view call_id) const noexcept
{
    const auto [begin, end] = sessions_.equal_range(call_id);
    for (auto at = begin; at != end; ++at) {
        if (at->second->state == Session::State::active)
            return at->second->relay;
    }
    return std::nullopt;
}

Session& SessionDirectory::add(Session session)
{
    assert(!find_exact(session.call_id, session.from_tag));
    auto owned = std::make_unique<Session>(std::move(session));
    Session& added = *owned;
    added.id = ++last_id_;
    sessions_.emplace(std::string_view(added.call_id), std::move(owned));
    count(added, 1);
    if (added.state == Session::State::expired)
        added.expired_place = ended_.insert(ended_.end(), &added);
    return added;
}

void SessionDirectory::erase(Session& session)
{
    const auto [begin, end] = sessions_.equal_range(session.call_id);
    const auto found =
        std::find_if(begin, end, [&](const auto& entry) { return entry.second.get() == &session; });
    assert(found != end);
    count(session, -1);
    if (session.state == Session::State::expired)
        ended_.erase(session.expired_place);
    // The key is a view into the session: it must outlive the node.
    const auto keep = std::move(found->second);
    sessions_.erase(found);
}

void SessionDirectory::set_state(Session& session, Session::State state, const Now& now)
{
    assert(session.state != Session::State::expired);
    count(session, -1);
    session.state = state;
    count(session, 1);
    if (state != Session::State::expired)
        return;
    session.expired_at = now.wall;
    session.expired_place = ended_.insert(ended_.end(), &session);
}

Session* SessionDirectory::oldest_expired_before(WallTime limit)
{
    return !ended_.empty() && ended_.front()->expired_at <= limit ? ended_.front() : nullptr;
}

void SessionDirectory::count(const Session& session, int change)
{
    if (session.state == Session::State::expired)
        return;
    if (session.relay >= active_at_.size())
        active_at_.resize(session.relay + 1, 0);
    const auto step = static_cast<std::size_t>(change);
    active_ += step;
    active_at_[session.relay] += step;
}

} // namespace mediaproxy::dispatcher
