// SPDX-License-Identifier: GPL-2.0-or-later
#include "session/session_table.hpp"

#include <algorithm>
#include <unordered_map>
#include <unordered_set>

#include "base/text.hpp"
#include "session/deadlines.hpp"
#include "session/session.hpp"

namespace mediaproxy::session
{

namespace
{

struct Key {
    std::string_view call_id, from_tag;
};

struct HashSession {
    using is_transparent = void;
    std::size_t operator()(const Key& key) const noexcept
    {
        const std::hash<std::string_view> hash;
        constexpr std::size_t odd = 0x9e3779b97f4a7c15U;
        return hash(key.call_id) * odd ^ hash(key.from_tag);
    }
    std::size_t operator()(const std::unique_ptr<Session>& session) const noexcept
    {
        return (*this)(Key{session->call_id(), session->from_tag()});
    }
};

struct SameSession {
    using is_transparent = void;
    static Key key_of(const Key& key) noexcept { return key; }
    static Key key_of(const std::unique_ptr<Session>& session) noexcept
    {
        return {session->call_id(), session->from_tag()};
    }
    template <class A, class B>
    bool operator()(const A& a, const B& b) const noexcept
    {
        const Key left = key_of(a), right = key_of(b);
        return left.from_tag == right.from_tag && left.call_id == right.call_id;
    }
};

} // namespace

struct SessionTable::State {
    State(Rules rules, PortSource& ports, FastPath& fast_path, FlowId first_flow_id)
        : shared{std::move(rules), ports, Flows(fast_path, first_flow_id), {}, 0}
    {
    }

    Session* find(std::string_view call_id, std::string_view tag) const noexcept
    {
        const auto found = tag.empty() ? sessions.end() : sessions.find(Key{call_id, tag});
        return found == sessions.end() ? nullptr : found->get();
    }
    Session* find(std::string_view call_id, std::string_view from_tag,
                  std::string_view to_tag) const noexcept
    {
        Session* const session = find(call_id, from_tag);
        return session ? session : find(call_id, to_tag);
    }
    void add(std::unique_ptr<Session> session, const Now& now);
    void drop(Session& session) noexcept;
    Expired expired(Session& session, const Now& now);
    std::uint64_t revision(const Session& session) const noexcept
    {
        return session.revision() + told_again;
    }
    void tell(Session& session, const Now& now, const EachReport& each) const
    {
        session.told_revision = revision(session);
        each(session.owner(), session.report(now.mono));
    }

    Surroundings shared;
    std::unordered_set<std::unique_ptr<Session>, HashSession, SameSession> sessions;
    std::vector<Session*> slots; ///< a session's number in lists is its place here + 1
    std::vector<std::size_t> free_slots;
    Deadlines deadlines;
    std::unordered_map<OwnerId, std::size_t> count_by_owner;
    std::uint64_t next_serial = 1;
    std::uint64_t told_again = 0; ///< how often; never shrinks, as revisions
    EachTraffic on_removal;
    struct Answered {
        std::size_t slot;
        std::uint64_t serial; ///< the place may have gone to another session
    };
    std::vector<Answered> answered; ///< and not told of yet
};

void SessionTable::State::add(std::unique_ptr<Session> session, const Now& now)
{
    Session& added = *session;
    if (free_slots.empty()) {
        if (free_slots.capacity() <= slots.size()) // drop() must not need memory
            free_slots.reserve(2 * slots.size() + 64);
        free_slots.push_back(slots.size());
        slots.push_back(nullptr);
    }
    added.list_slot = free_slots.back();
    free_slots.pop_back();
    slots[added.list_slot] = &added;
    deadlines.add(added, added.next_deadline(now.mono));
    ++count_by_owner[added.owner()];
    sessions.insert(std::move(session));
}

void SessionTable::State::drop(Session& session) noexcept
{
    deadlines.remove(session);
    slots[session.list_slot] = nullptr;
    free_slots.push_back(session.list_slot);
    const auto count = count_by_owner.find(session.owner());
    if (--count->second == 0)
        count_by_owner.erase(count);
    sessions.erase(sessions.find(Key{session.call_id(), session.from_tag()}));
}

Expired SessionTable::State::expired(Session& session, const Now& now)
{
    const bool silent = !session.any_alive();
    session.close(now.mono);
    Expired out{session.owner(), session.report(now.mono)};
    out.report.all_streams_ice = silent && protocol::streams_left_by_ice(out.report);
    drop(session);
    return out;
}

SessionTable::SessionTable(Rules rules, PortSource& ports, FastPath& fast_path,
                           FlowId first_flow_id)
    : state_(std::make_unique<State>(std::move(rules), ports, fast_path, first_flow_id))
{
}

SessionTable::~SessionTable() = default;

Result<protocol::Ports> SessionTable::update(const protocol::Update& update, OwnerId owner,
                                             const Now& now)
{
    if (Session* known = state_->find(update.call_id, update.from_tag, update.to_tag)) {
        const bool was_answered = known->was_answered();
        auto ports = known->update(update, now);
        if (ports)
            state_->deadlines.move(*known, known->next_deadline(now.mono));
        if (!was_answered && known->was_answered() && state_->shared.rules.tell_answered)
            state_->answered.push_back({known->list_slot, known->serial()});
        return ports;
    }
    if (!update.has_media)
        return Error{Error::Code::not_found,
                     "session " + text::printable(update.call_id) + ": not known, and no media"};
    if (update.call_id.empty() || update.from_tag.empty())
        return invalid("an update needs a call_id and a from_tag");
    auto session =
        std::make_unique<Session>(state_->shared, update, owner, state_->next_serial, now);
    auto ports = session->update(update, now);
    if (!ports)
        return ports;
    ++state_->next_serial;
    state_->add(std::move(session), now);
    return ports;
}

Result<protocol::SessionReport> SessionTable::remove(const protocol::Remove& remove, const Now& now)
{
    Session* const session = state_->find(remove.call_id, remove.from_tag, remove.to_tag);
    if (!session)
        return Error{Error::Code::not_found,
                     "session " + text::printable(remove.call_id) + ": not known"};
    if (session->forget_late_fork(remove))
        return session->report(now.mono);
    session->close(now.mono);
    auto report = session->report(now.mono);
    if (session->told_revision != 0 && state_->on_removal)
        state_->on_removal(session->traffic());
    state_->drop(*session);
    return report;
}

const Session* SessionTable::find(std::string_view call_id, std::string_view tag) const noexcept
{
    return state_->find(call_id, tag);
}

Verdict SessionTable::on_packet(const SocketRole& role, const net::Endpoint& source,
                                std::span<const std::byte> data, TimePoint now) noexcept
{
    if (!role.stream)
        return {};
    return role.stream->on_packet(role.component, role.party, source, data, now);
}

std::vector<QueuedPacket> SessionTable::take_queued(const SocketRole& role)
{
    if (!role.stream)
        return {};
    return role.stream->take_queued(role.component, role.party);
}

std::optional<SessionTable::FlowPlan> SessionTable::begin_flow(const SocketRole& role)
{
    if (!role.stream)
        return std::nullopt;
    const auto flow = role.stream->begin_flow(role.component);
    if (!flow)
        return std::nullopt;
    return FlowPlan{*flow, role.stream->ports(Party::caller).pair().slot,
                    role.stream->ports(Party::callee).pair().slot, role.component};
}

void SessionTable::abandon_flow(FlowId id, const mp_flow_reading& totals, TimePoint retry_at,
                                TimePoint now)
{
    const Flows::Flow* const flow = state_->shared.flows.find(id);
    if (!flow)
        return;
    const Flows::Flow was = *flow;
    const Flows::Progress progress = state_->shared.flows.forget(id, totals);
    was.stream->abandon_flow(was.component, progress, retry_at, now);
}

void SessionTable::on_readings(std::span<const mp_flow_reading> readings, TimePoint now)
{
    for (const mp_flow_reading& reading : readings) {
        if (Flows::Flow* flow = state_->shared.flows.find(reading.id))
            flow->stream->on_reading(flow->component, Flows::advance(*flow, reading), now);
    }
}

std::vector<Expired> SessionTable::expire(const Now& now, std::size_t most)
{
    std::vector<Expired> ended;
    while (ended.size() < most) {
        Session* const session = state_->deadlines.due(now.mono);
        if (!session)
            break;
        if (session->expire(now))
            ended.push_back(state_->expired(*session, now));
        else
            state_->deadlines.move(
                *session, std::max(session->next_deadline(now.mono), now.mono + Milliseconds(1)));
    }
    return ended;
}

std::optional<TimePoint> SessionTable::next_deadline() const
{
    return state_->deadlines.next();
}

std::vector<Expired> SessionTable::end_all(const Now& now, std::optional<OwnerId> owner)
{
    std::vector<Expired> ended;
    for (std::size_t slot = 0; slot < state_->slots.size(); ++slot) {
        Session* const session = state_->slots[slot];
        if (session && (!owner || session->owner() == *owner))
            ended.push_back(state_->expired(*session, now));
    }
    return ended;
}

std::size_t SessionTable::session_count() const noexcept
{
    return state_->sessions.size();
}

std::size_t SessionTable::session_count(OwnerId owner) const noexcept
{
    const auto found = state_->count_by_owner.find(owner);
    return found == state_->count_by_owner.end() ? 0 : found->second;
}

std::vector<std::pair<std::string, std::uint64_t>> SessionTable::stream_count() const
{
    const auto& live = state_->shared.live.all();
    return {live.begin(), live.end()};
}

SessionTable::FlowCount SessionTable::flow_count() const noexcept
{
    FlowCount count;
    count.installed = state_->shared.flows.size();
    for (const Session* const session : state_->slots) {
        if (!session)
            continue;
        for (const auto& stream : session->streams())
            count.slow +=
                stream->wants_flow(ComponentKind::rtp) + stream->wants_flow(ComponentKind::rtcp);
    }
    return count;
}

std::uint64_t SessionTable::total_bytes() const noexcept
{
    return state_->shared.total_bytes;
}

std::uint64_t
SessionTable::list(std::uint64_t after, std::size_t most, const Now& now,
                   const std::function<void(OwnerId, const protocol::SessionReport&)>& each) const
{
    std::size_t listed = 0;
    for (std::size_t slot = after; slot < state_->slots.size(); ++slot) {
        const Session* const session = state_->slots[slot];
        if (!session)
            continue;
        if (listed++ == most)
            return slot;
        each(session->owner(), session->report(now.mono));
    }
    return 0;
}

bool SessionTable::has_answered() const noexcept
{
    return !state_->answered.empty();
}

void SessionTable::tell_answered(const Now& now, const EachReport& each)
{
    for (const State::Answered& answered : state_->answered) {
        Session* const session = state_->slots[answered.slot];
        if (session && session->serial() == answered.serial)
            state_->tell(*session, now, each);
    }
    state_->answered.clear();
}

std::size_t SessionTable::tell_changed(const Stretch& stretch, const Now& now,
                                       const EachReport& each, const EachTraffic& each_traffic)
{
    const std::size_t count = state_->slots.size();
    const std::size_t end = std::min(count, stretch.after + stretch.places);
    std::size_t reports = 0;
    for (std::size_t slot = stretch.after; slot < end; ++slot) {
        Session* const session = state_->slots[slot];
        if (!session || !session->was_answered())
            continue;
        if (session->told_revision != state_->revision(*session) && reports++ < stretch.reports)
            state_->tell(*session, now, each);
        each_traffic(session->traffic());
    }
    return end < count ? end : 0;
}

void SessionTable::tell_all_again() noexcept
{
    ++state_->told_again;
}

void SessionTable::on_removal(EachTraffic each)
{
    state_->on_removal = std::move(each);
}

std::size_t SessionTable::place_count() const noexcept
{
    return state_->slots.size();
}

} // namespace mediaproxy::session
