// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/removal_desk.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "base/text.hpp"
#include "protocol/reply.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

constexpr std::string_view table = "removals";
/// The proxy waits so long for the record of its call to be spooled.
constexpr Milliseconds spool_patience{200};

std::string waiting_key(std::string_view relay, std::string_view call_id, std::string_view from_tag)
{
    return make_key(relay, make_key(call_id, from_tag));
}

/// A remove that names only another fork's tag leaves the call: the report is then that of the
/// living session, which has a stream that goes on.
bool goes_on(const protocol::SessionReport& report)
{
    return std::any_of(report.streams.begin(), report.streams.end(), [](const auto& stream) {
        return stream.status == "active" || stream.status == "on hold";
    });
}

/// The callee's tag in a remove of that session; empty: none.
std::string_view callee_tag(const Session& session, const protocol::Remove& remove)
{
    return remove.from_tag == session.from_tag ? remove.to_tag : remove.from_tag;
}

/// False: it names another callee's tag than the one that we heard of first. That may be a fork
/// that answered too late, whose call goes on, or the one that answered after all: only the relay
/// knows.
bool is_meant(const Session& session, const protocol::Remove& remove)
{
    const std::string_view callee = callee_tag(session, remove);
    return callee.empty() || session.to_tag.empty() || callee == session.to_tag;
}

/// What a report tells beyond what we know, for the next record of the same session.
protocol::Remove remove_of(const Session& session)
{
    return {session.call_id, session.from_tag, session.to_tag};
}

} // namespace

RemovalDesk::RemovalDesk(asio::io_context& io, Books& books, ProxyServer& server)
    : books_(books), server_(server), unanswered_(io, spool_patience, [this](const Ticket& ticket) {
          server_.answer(ticket, protocol::answer_removed);
      })
{
}

void RemovalDesk::load(const Now& now)
{
    if (!books_.store)
        return;
    std::vector<std::string> damaged;
    const auto load = [&](std::string_view key, std::string_view value) {
        auto saved = decode_session(value.substr(std::min<std::size_t>(1, value.size())));
        if (!saved || !Waiting::known(value.front())) {
            damaged.emplace_back(key);
            return;
        }
        saved->session.relay = books_.pool.know(saved->relay, now.mono);
        const auto what = static_cast<Waiting::What>(value.front());
        waiting_[std::string(key)] = {std::move(saved->session), what, false, false, now.mono};
    };
    if (auto loaded = books_.store->load_all(table, load); !loaded)
        log::error("dispatcher: removals of the earlier run cannot be read: {}",
                   loaded.error().message);
    for (const std::string& key : damaged)
        books_.store->erase(table, key);
    if (!damaged.empty())
        log::warning("dispatcher: {} saved removals cannot be read and are passed over",
                     damaged.size());
    if (!waiting_.empty())
        log::info("dispatcher: {} removals wait for their relays", waiting_.size());
}

void RemovalDesk::handle(const protocol::Remove& remove, Ticket ticket)
{
    Session* const session = books_.directory.find(remove.call_id, remove.from_tag, remove.to_tag);
    if (!session) {
        const Hints::Hint* const hint =
            books_.hints.find(remove.call_id, remove.from_tag, remove.to_tag);
        RelayPeer* const peer = hint ? books_.pool.peer(hint->relay) : nullptr;
        if (!peer)
            return server_.answer(ticket, protocol::answer_removed);
        const RelayId relay = hint->relay;
        books_.hints.erase(remove.call_id, std::string(hint->from_tag));
        return ask(*peer, Purpose::hinted, relay, remove, 0, ticket);
    }
    const Now now = read_clocks();
    books_.refusals.on_removed(*session, now.mono);
    if (session->state != Session::State::active) {
        if (session->state == Session::State::expired)
            books_.erase(*session);
        return server_.answer(ticket, protocol::answer_removed);
    }
    RelayPeer* const peer = books_.pool.peer(session->relay);
    const bool meant = is_meant(*session, remove);
    if (!peer) {
        if (meant) {
            Session gone = *session;
            books_.erase(*session);
            keep(std::move(gone), Waiting::What::ended, now);
        } else {
            keep_question(*session, remove, now);
        }
        return server_.answer(ticket, protocol::answer_removed);
    }
    if (meant)
        books_.directory.set_state(*session, Session::State::removing, now);
    // A silent relay shall not hold up the proxy: its record is written when it comes.
    if (peer->state() == RelayPeer::State::unresponsive)
        server_.answer(std::exchange(ticket, Ticket{}), protocol::answer_removed);
    ask(*peer, Purpose::session, session->relay, remove, session->id, ticket);
}

void RemovalDesk::remove_at_once(Session& session)
{
    // No connection has the number 0: nobody is told.
    const Session copy = session;
    handle(remove_of(copy), Ticket{});
}

void RemovalDesk::discard(RelayId relay, const protocol::Remove& remove)
{
    RelayPeer* const peer = books_.pool.peer(relay);
    if (peer)
        return ask(*peer, Purpose::discard, relay, remove, 0, Ticket{});
    keep_unwanted(relay, remove);
}

void RemovalDesk::keep_unwanted(RelayId relay, const protocol::Remove& remove)
{
    Session session;
    session.call_id = remove.call_id;
    session.from_tag = remove.from_tag;
    session.to_tag = remove.to_tag;
    session.relay = relay;
    keep(std::move(session), Waiting::What::unwanted, read_clocks());
}

/// The session stays in the directory until its relay says what that remove meant.
void RemovalDesk::keep_question(const Session& session, const protocol::Remove& remove,
                                const Now& now)
{
    Session asked = session;
    asked.to_tag = callee_tag(session, remove);
    keep(std::move(asked), Waiting::What::question, now);
}

void RemovalDesk::ask(RelayPeer& peer, Purpose purpose, RelayId relay,
                      const protocol::Remove& remove, std::uint64_t session_id, Ticket ticket)
{
    if (free_jobs_.empty()) {
        free_jobs_.push_back(static_cast<std::uint32_t>(jobs_.size()));
        jobs_.emplace_back();
    }
    const std::uint32_t place = free_jobs_.back();
    free_jobs_.pop_back();
    Job& job = jobs_[place];
    ++job.generation;
    job.open = true;
    job.purpose = purpose;
    job.ticket = ticket;
    job.relay = relay;
    job.session_id = session_id;
    job.call_id = remove.call_id;
    job.from_tag = remove.from_tag;
    job.to_tag = remove.to_tag;
    server_.remember(ticket, matter);
    const std::uint64_t token = std::uint64_t{job.generation} << 32 | place;
    peer.remove(remove, [this, token](Result<protocol::SessionReport> result) {
        on_report(token, std::move(result));
    });
}

void RemovalDesk::on_report(std::uint64_t token, Result<protocol::SessionReport> result)
{
    const auto place = static_cast<std::uint32_t>(token);
    Job& job = jobs_[place];
    if (!job.open || job.generation != token >> 32)
        return;
    job.open = false;
    const std::uint64_t records = books_.records.handed_over();
    switch (job.purpose) {
    case Purpose::session:
        finish_session(job, std::move(result));
        break;
    case Purpose::hinted:
        if (result && !goes_on(*result)) {
            auto durable = books_.receipts.expect_removed(job.relay, *result);
            books_.put(std::move(*result), RecordDesk::End::removed, nullptr, job.relay,
                       std::move(durable));
        }
        break;
    case Purpose::discard:
        if (result)
            books_.receipts.dismiss(job.relay, *result);
        if (!result && result.error().code == Error::Code::unavailable)
            keep_unwanted(job.relay, {job.call_id, job.from_tag, job.to_tag});
        break;
    case Purpose::delivery:
        finish_delivery(job, std::move(result));
        break;
    }
    if (books_.records.handed_over() == records)
        server_.answer(job.ticket, protocol::answer_removed);
    else if (server_.is_open(job.ticket))
        answer_when_durable(job.ticket);
    free_jobs_.push_back(place);
}

void RemovalDesk::answer_when_durable(Ticket ticket)
{
    unanswered_.add(ticket);
    books_.records.when_durable(
        [this, ticket] { server_.answer(ticket, protocol::answer_removed); });
}

void RemovalDesk::finish_session(Job& job, Result<protocol::SessionReport> result)
{
    Session* session = books_.directory.find(job.call_id, job.from_tag, job.to_tag);
    if (session && session->id != job.session_id)
        session = nullptr;
    const Now now = read_clocks();
    if (result && goes_on(*result)) {
        if (session && session->state == Session::State::removing)
            books_.directory.set_state(*session, Session::State::active, now);
        return;
    }
    const bool expired = session && session->state == Session::State::expired;
    if (result && expired) {
        books_.receipts.dismiss(job.relay, *result);
    } else if (result) {
        auto durable = books_.receipts.expect_removed(job.relay, *result);
        books_.put(std::move(*result), RecordDesk::End::removed, session, job.relay,
                   std::move(durable));
    }
    if (!session)
        return;
    bool refused = false;
    if (!result && !expired) {
        const RelayPeer* const peer = books_.pool.peer(job.relay);
        const protocol::Remove remove{job.call_id, job.from_tag, job.to_tag};
        refused = result.error().code != Error::Code::unavailable;
        if (!refused && !is_meant(*session, remove))
            return keep_question(*session, remove, now);
        if (refused && !(peer && peer->keeps_records()))
            books_.put_lost(*session, RecordDesk::End::removed, now);
        else
            keep(*session, Waiting::What::ended, now).refused = refused;
    }
    books_.erase(*session);
    if (refused && is_settled(job.relay))
        judge(job.relay);
}

void RemovalDesk::finish_delivery(Job& job, Result<protocol::SessionReport> result)
{
    const std::string key = waiting_key(books_.pool.name(job.relay), job.call_id, job.from_tag);
    const auto found = waiting_.find(key);
    if (found == waiting_.end())
        return; // its record came as `expired`
    Waiting& waiting = found->second;
    waiting.asked = false;
    if (!result && result.error().code == Error::Code::unavailable)
        return;
    if (!result) {
        waiting.refused = true;
        if (is_settled(job.relay))
            judge(job.relay);
        return;
    }
    const bool question = waiting.what == Waiting::What::question;
    if (question && goes_on(*result))
        return forget(key);
    if (waiting.what == Waiting::What::unwanted) {
        books_.receipts.dismiss(job.relay, *result);
    } else {
        auto durable = books_.receipts.expect_removed(job.relay, *result);
        books_.put(std::move(*result), RecordDesk::End::removed, &waiting.session, job.relay,
                   std::move(durable));
    }
    forget_waiting(job.relay, job.call_id, job.from_tag);
}

RemovalDesk::Waiting& RemovalDesk::keep(Session session, Waiting::What what, const Now& now)
{
    const std::string& relay = books_.pool.name(session.relay);
    const std::string key = waiting_key(relay, session.call_id, session.from_tag);
    session.state = Session::State::active;
    session.expired_at = now.wall;
    session.unsaved_place.reset();
    if (books_.store)
        books_.store->save(table, key, static_cast<char>(what) + encode_session(session, relay));
    return waiting_[key] = {std::move(session), what, false, false, now.mono};
}

void RemovalDesk::forget(const std::string& key)
{
    if (books_.store)
        books_.store->erase(table, key);
    waiting_.erase(key);
}

void RemovalDesk::give_up(const std::string& key)
{
    const Waiting& waiting = waiting_.at(key);
    if (waiting.what == Waiting::What::ended)
        books_.put_lost(waiting.session, RecordDesk::End::removed, read_clocks());
    forget(key);
}

const Session* RemovalDesk::waiting(RelayId relay, std::string_view call_id,
                                    std::string_view from_tag) const
{
    if (waiting_.empty())
        return nullptr;
    const auto found = waiting_.find(waiting_key(books_.pool.name(relay), call_id, from_tag));
    return found == waiting_.end() ? nullptr : &found->second.session;
}

void RemovalDesk::forget_waiting(RelayId relay, std::string_view call_id, std::string_view from_tag)
{
    const std::string key = waiting_key(books_.pool.name(relay), call_id, from_tag);
    const auto found = waiting_.find(key);
    if (found == waiting_.end())
        return;
    const bool question = found->second.what == Waiting::What::question;
    Session* const session =
        question ? books_.directory.find_exact(call_id, found->second.session.from_tag) : nullptr;
    if (session && session->relay == relay && session->state == Session::State::active)
        books_.erase(*session);
    forget(key);
}

void RemovalDesk::deliver(RelayId relay)
{
    RelayPeer* const peer = books_.pool.peer(relay);
    std::vector<std::string> keys;
    for (auto& [key, waiting] : waiting_) {
        if (waiting.session.relay == relay && !waiting.asked && !waiting.refused)
            keys.push_back(key);
    }
    for (const std::string& key : keys) {
        const auto found = waiting_.find(key);
        if (!peer || found == waiting_.end())
            continue;
        found->second.asked = true;
        const Session session = found->second.session;
        ask(*peer, Purpose::delivery, relay, remove_of(session), 0, Ticket{});
    }
}

bool RemovalDesk::is_settled(RelayId relay) const noexcept
{
    return relay < settled_.size() && settled_[relay];
}

void RemovalDesk::settle(RelayId relay)
{
    if (relay >= settled_.size())
        settled_.resize(relay + 1, false);
    settled_[relay] = true;
    give_up_refused(relay);
}

/// What it does not know may have ended there, with a record that is still on its way.
void RemovalDesk::judge(RelayId relay)
{
    RelayPeer* const peer = books_.pool.peer(relay);
    if (!peer || !peer->keeps_records())
        return give_up_refused(relay);
    peer->unsent_letters([this, relay](Result<std::size_t> unsent) {
        if (unsent && *unsent == 0)
            give_up_refused(relay);
    });
}

void RemovalDesk::give_up_refused(RelayId relay)
{
    std::vector<std::string> lost;
    for (const auto& [key, waiting] : waiting_) {
        if (waiting.session.relay == relay && waiting.refused)
            lost.push_back(key);
    }
    for (const std::string& key : lost)
        give_up(key);
}

bool RemovalDesk::has_refused(RelayId relay) const
{
    return std::any_of(waiting_.begin(), waiting_.end(), [&](const auto& entry) {
        return entry.second.refused && entry.second.session.relay == relay;
    });
}

void RemovalDesk::on_disconnected(RelayId relay)
{
    if (relay < settled_.size())
        settled_[relay] = false;
}

void RemovalDesk::clean_up(TimePoint limit)
{
    std::vector<std::string> old;
    for (const auto& [key, waiting] : waiting_) {
        if (waiting.since < limit && !waiting.asked)
            old.push_back(key);
    }
    for (const std::string& key : old)
        give_up(key);
    for (RelayId relay = 0; !waiting_.empty() && relay < books_.pool.known(); ++relay) {
        deliver(relay);
        if (is_settled(relay) && has_refused(relay))
            judge(relay);
    }
}

} // namespace mediaproxy::dispatcher
