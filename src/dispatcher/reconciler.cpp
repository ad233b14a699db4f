// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/reconciler.hpp"

#include <unordered_set>

#include "base/log.hpp"
#include "base/text.hpp"

namespace mediaproxy::dispatcher
{

Reconciler::Reconciler(asio::io_context& io, Books& books, RemovalDesk& removals,
                       std::string our_name, Seconds grace,
                       std::function<void(const Session&)> lost)
    : books_(books), removals_(removals), our_name_(std::move(our_name)), lost_(std::move(lost)),
      verdicts_(io, grace, [this](const Verdict& verdict) {
          const auto talk = talks_.find(verdict.relay);
          if (talk != talks_.end() && talk->second.number == verdict.number)
              judge(verdict);
      })
{
}

void Reconciler::on_connected(RelayPeer& peer, RelayId relay, TimePoint question, Place place)
{
    talks_[relay] = {++last_number_, question, place, Talk::State::idle};
    removals_.deliver(relay);
    ask(peer, relay);
}

void Reconciler::on_disconnected(RelayId relay)
{
    talks_.erase(relay);
    doubtful_.erase(relay);
    removals_.on_disconnected(relay);
}

void Reconciler::retry()
{
    std::vector<RelayId> again;
    for (const auto& [relay, talk] : talks_) {
        const RelayPeer* const peer = books_.pool.peer(relay);
        if (talk.state == Talk::State::idle && peer &&
            peer->state() != RelayPeer::State::unresponsive)
            again.push_back(relay);
    }
    for (const RelayId relay : again) {
        talks_[relay].question = BootClock::now();
        ask(*books_.pool.peer(relay), relay);
    }
}

void Reconciler::ask(RelayPeer& peer, RelayId relay)
{
    Talk& talk = talks_[relay];
    talk.state = Talk::State::asking;
    peer.sessions(
        [this, relay, number = talk.number](Result<std::vector<protocol::SessionReport>> list) {
            on_list(relay, number, std::move(list));
        });
}

void Reconciler::on_list(RelayId relay, std::uint64_t number,
                         Result<std::vector<protocol::SessionReport>> list)
{
    const auto found = talks_.find(relay);
    RelayPeer* const peer = books_.pool.peer(relay);
    if (found == talks_.end() || found->second.number != number || !peer)
        return;
    Talk& talk = found->second;
    if (!list) {
        log::warning("relay {}: its list of sessions: {}", books_.pool.name(relay),
                     list.error().message);
        talk.state = list.error().code == Error::Code::unsupported ? Talk::State::refused
                                                                   : Talk::State::idle;
        return;
    }
    const Now now = read_clocks();
    take_back(*peer, relay, talk, *list, now);
    std::vector<Missing> missing = find_missing(relay, talk, *list);
    talk.state = Talk::State::listed;
    if (!peer->is_ours() || talk.place == Place::here)
        return settle(relay, missing);
    doubtful_[relay] = std::move(missing);
    if (peer->keeps_records())
        judge({relay, number});
    else
        verdicts_.add({relay, number});
}

/// Once a relay that can say so has sent every record that it has for us: not by the clock, as our
/// own disk may be what it waits for. Of others, after the grace, all is believed to be said.
void Reconciler::judge(const Verdict& verdict)
{
    RelayPeer* const peer = books_.pool.peer(verdict.relay);
    if (!peer || !peer->keeps_records())
        return settle(verdict.relay, std::exchange(doubtful_[verdict.relay], {}));
    peer->unsent_letters([this, verdict](Result<std::size_t> unsent) {
        const auto talk = talks_.find(verdict.relay);
        if (talk == talks_.end() || talk->second.number != verdict.number)
            return;
        if (unsent && *unsent == 0)
            settle(verdict.relay, std::exchange(doubtful_[verdict.relay], {}));
        else
            verdicts_.add(verdict);
    });
}

void Reconciler::take_back(RelayPeer& peer, RelayId relay, const Talk& talk,
                           const std::vector<protocol::SessionReport>& list, const Now& now)
{
    books_.hints.clear(relay);
    std::size_t taken = 0;
    for (const protocol::SessionReport& report : list) {
        if (removals_.waiting(relay, report.call_id, report.from_tag))
            continue;
        Session* const session = books_.directory.find_exact(report.call_id, report.from_tag);
        const bool ours = peer.is_ours() && (report.owner == our_name_ ||
                                             (talk.place == Place::here && report.owner.empty()));
        if (session && session->state != Session::State::expired) {
            // A relay that came too late when the session was made.
            if (session->relay != relay && ours)
                removals_.discard(relay, {report.call_id, report.from_tag, report.to_tag});
            continue;
        }
        if (ours && !session) {
            adopt(relay, report, now);
            ++taken;
        } else if (!ours && !session) {
            books_.hints.add(report.call_id, report.from_tag, relay);
        }
    }
    if (taken > 0)
        log::info("relay {}: {} sessions taken back", books_.pool.name(relay), taken);
}

void Reconciler::adopt(RelayId relay, const protocol::SessionReport& report, const Now& now)
{
    books_.add(make_session(report, relay, now));
}

std::vector<Reconciler::Missing>
Reconciler::find_missing(RelayId relay, const Talk& talk,
                         const std::vector<protocol::SessionReport>& list)
{
    std::unordered_set<std::string> listed;
    listed.reserve(list.size());
    for (const protocol::SessionReport& report : list)
        listed.insert(make_key(report.call_id, report.from_tag));
    std::vector<Missing> missing;
    books_.directory.for_each_at(relay, [&](const Session& session) {
        if (session.state == Session::State::active && session.created_mono < talk.question &&
            !listed.contains(make_key(session.call_id, session.from_tag)))
            missing.push_back({session.call_id, session.from_tag, session.id});
    });
    return missing;
}

void Reconciler::settle(RelayId relay, const std::vector<Missing>& missing)
{
    talks_[relay].state = Talk::State::settled;
    const Now now = read_clocks();
    for (const Missing& entry : missing) {
        Session* const session = books_.directory.find_exact(entry.call_id, entry.from_tag);
        if (session && session->id == entry.id && session->state == Session::State::active)
            lose(*session, now);
    }
    removals_.settle(relay);
}

void Reconciler::lose(Session& session, const Now& now)
{
    const bool removed = removals_.waiting(session.relay, session.call_id, session.from_tag);
    books_.put_lost(session, removed ? RecordDesk::End::removed : RecordDesk::End::timed_out, now);
    books_.expire(session, now);
    if (removed) // by a remove whose meaning only the relay could have told
        removals_.forget_waiting(session.relay, session.call_id, session.from_tag);
    else
        lost_(session);
}

void Reconciler::clean_up(TimePoint limit, const Now& now)
{
    for (RelayId relay = 0; relay < books_.pool.known(); ++relay) {
        const auto away = books_.pool.away_since(relay);
        if (!away || *away > limit || books_.directory.active_count(relay) == 0)
            continue;
        std::vector<Session*> left;
        books_.directory.for_each_at(relay, [&](Session& session) {
            if (session.state == Session::State::active)
                left.push_back(&session);
        });
        log::warning("relay {}: away for too long: its {} sessions are given up",
                     books_.pool.name(relay), left.size());
        const WallTime went =
            now.wall - std::chrono::duration_cast<WallTime::duration>(now.mono - *away);
        for (Session* const session : left) {
            session->expired_at = went;
            lose(*session, now);
            books_.erase(*session);
        }
    }
}

} // namespace mediaproxy::dispatcher
