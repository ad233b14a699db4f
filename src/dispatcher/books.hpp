// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <utility>

#include "dispatcher/hints.hpp"
#include "dispatcher/receipts.hpp"
#include "dispatcher/record_desk.hpp"
#include "dispatcher/refusals.hpp"
#include "dispatcher/relay_pool.hpp"
#include "dispatcher/saved_state.hpp"
#include "dispatcher/session_directory.hpp"

namespace mediaproxy::dispatcher
{

/// What the dispatcher knows, shared by those who serve the proxy and those who serve the relays.
struct Books {
    Books(asio::io_context& io, RelayPool::Balancing balancing, RecordSink* sink,
          StateStore* kept_in)
        : pool(balancing, directory), saved(io, kept_in, pool), records(sink),
          receipts(io, pool, kept_in), store(kept_in)
    {
    }

    void erase(Session& session)
    {
        saved.on_erased(session);
        directory.erase(session);
    }
    Session& add(Session session)
    {
        if (Session* const old = directory.find_exact(session.call_id, session.from_tag))
            erase(*old);
        Session& added = directory.add(std::move(session));
        saved.on_changed(added);
        return added;
    }
    /// Saved at once: when its record is durable, a restart must not take it for a living one.
    void expire(Session& session, const Now& now)
    {
        directory.set_state(session, Session::State::expired, now);
        saved.save(session);
    }
    /// As RecordDesk::put(). False: there is no room; a relay that keeps its records will be asked
    /// for it again.
    bool put(protocol::SessionReport&& report, RecordDesk::End end, const Session* known,
             RelayId relay, std::function<void()> durable)
    {
        const std::string record_id = report.record_id;
        const bool taken =
            records.put(std::move(report), end, known, pool.name(relay), std::move(durable));
        if (!taken)
            receipts.refuse(relay, record_id);
        return taken;
    }
    /// Its relay does not have it any more: the record is made of what is known here.
    void put_lost(const Session& session, RecordDesk::End end, const Now& now)
    {
        const std::string& relay = pool.name(session.relay);
        records.put_lost(session, end, relay, now);
        if (session.start_time)
            receipts.write_off(relay, session, now);
    }

    SessionDirectory directory;
    RelayPool pool;
    Refusals refusals;
    Hints hints;
    SavedState saved;
    RecordDesk records;
    Receipts receipts;
    StateStore* store; ///< null: none
};

} // namespace mediaproxy::dispatcher
