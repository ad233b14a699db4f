// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/dispatcher.hpp"

#include <algorithm>
#include <asio/post.hpp>
#include <asio/steady_timer.hpp>
#include <fmt/format.h>
#include <optional>
#include <unistd.h>

#include "base/log.hpp"
#include "base/text.hpp"
#include "dispatcher/books.hpp"
#include "dispatcher/dialog_terminator.hpp"
#include "dispatcher/management_server.hpp"
#include "dispatcher/proxy_server.hpp"
#include "dispatcher/reconciler.hpp"
#include "dispatcher/relay_server.hpp"
#include "dispatcher/removal_desk.hpp"
#include "dispatcher/update_desk.hpp"
#include "protocol/reply.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

constexpr Milliseconds shortest_chores{100}, longest_chores{10000};
constexpr std::chrono::milliseconds stop_patience{1000};    // above any request's deadline
constexpr std::chrono::milliseconds dialogs_patience{3000}; // for calls to be ended at the proxy
constexpr std::chrono::milliseconds stop_interval{5};

std::string absolute_path(const std::string& path, const std::string& folder)
{
    return path.empty() || path.starts_with('/') || folder.empty() ? path : folder + '/' + path;
}

/// What is wrong with accounting, in few words; empty when all is well.
std::string describe(const accounting::Figures& figures)
{
    std::string text;
    if (!figures.alarm.empty())
        text = fmt::format("; {} records in memory only: {}", figures.in_memory, figures.alarm);
    for (const accounting::BackEndFigures& back_end : figures.back_ends) {
        if (back_end.state != accounting::BackEndFigures::State::active && back_end.waiting > 0)
            text += fmt::format("; {} records wait for {}", back_end.waiting, back_end.name);
    }
    return text;
}

/// Stable over restarts, different for each dispatcher: the host and the control socket.
std::string default_name(const std::string& socket_path)
{
    char host[256] = "localhost";
    ::gethostname(host, sizeof host - 1);
    return fmt::format("{}:{}", host, socket_path);
}

/// By a 200: before that there is no dialog to end. Relays of MediaProxy 4.x do not tell it from
/// early media.
bool is_answered(const protocol::SessionReport& report)
{
    return report.record_id.empty() ? report.start_time.has_value()
                                    : report.answered_time.has_value();
}

} // namespace

struct Dispatcher::State final : ProxyHandler, RelayServer::Listener {
    State(Options wanted, Environment given, UnixListener listener)
        : options(std::move(wanted)), environment(std::move(given)),
          books(environment.io,
                options.balancing == "least-sessions" ? RelayPool::Balancing::least_sessions
                                                      : RelayPool::Balancing::round_robin,
                environment.records, environment.store),
          proxies(environment.io, std::move(listener), options.request_deadline, *this),
          removals(environment.io, books, proxies),
          updates(environment.io, books, proxies, removals, options.attempt_timeout),
          reconciler(environment.io, books, removals, options.name, options.relay_timeout,
                     [this](const Session& session) {
                         if (session.answered)
                             end_dialog(session);
                     }),
          chores_timer(environment.io), stop_timer(environment.io)
    {
    }

    void on_request(const protocol::Request& request, Ticket ticket) override;
    void on_late(Ticket ticket, std::uint64_t matter) override;

    bool has_relay(const std::string& name) const override;
    void on_connected(RelayLink& relay) override;
    void on_disconnected(RelayLink& relay) override;
    void on_expired(RelayPeer& relay, protocol::SessionReport&& report) override;
    void account_expired(RelayId relay, protocol::SessionReport&& report,
                         std::function<void()> durable);

    Result<void> open_dialogs(const UnixListener::Access& access);
    void end_dialog(const Session& session);

    void do_chores_later();
    void do_chores();
    void wait_for_end(std::chrono::steady_clock::time_point begin, std::function<void()> stopped);

    Options options;
    Environment environment;
    Books books;
    ProxyServer proxies;
    RemovalDesk removals;
    UpdateDesk updates;
    Reconciler reconciler;
    std::unique_ptr<DialogTerminator> dialogs;    ///< null: off
    std::unique_ptr<ManagementServer> management; ///< null: off
    std::unique_ptr<RelayServer> relays;          ///< null: only the relay in this process
    asio::steady_timer chores_timer, stop_timer;
    std::shared_ptr<bool> alive = std::make_shared<bool>(true); ///< asked by a handler in flight
};

// --- the SIP proxy

void Dispatcher::State::on_request(const protocol::Request& request, Ticket ticket)
{
    if (request.command == "update")
        return updates.handle(request, ticket);
    const auto remove = request.command == "remove"
                            ? protocol::parse_remove(request)
                            : Result<protocol::Remove>(invalid(
                                  "unknown command " + text::printable(request.command, 60)));
    if (!remove) {
        log::info("control socket: {}", remove.error().message);
        return proxies.answer(ticket, protocol::answer_error);
    }
    if (updates.cancel(*remove))
        return proxies.answer(ticket, protocol::answer_removed);
    removals.handle(*remove, ticket);
}

void Dispatcher::State::on_late(Ticket ticket, std::uint64_t matter)
{
    // The relay's answer to a removal counts whenever it comes.
    if (matter == RemovalDesk::matter)
        return proxies.answer(ticket, protocol::answer_removed);
    updates.on_late(matter);
}

// --- relays

bool Dispatcher::State::has_relay(const std::string& name) const
{
    const auto id = books.pool.find(name);
    return id && books.pool.peer(*id);
}

void Dispatcher::State::on_connected(RelayLink& relay)
{
    const TimePoint now = BootClock::now();
    const RelayId id = books.pool.add(relay, now);
    log::info("relay {}: ready", relay.name());
    reconciler.on_connected(relay, id, relay.is_ours() ? now : relay.first_question(),
                            Reconciler::Place::network);
}

void Dispatcher::State::on_disconnected(RelayLink& relay)
{
    const auto id = books.pool.find(relay.name());
    if (!id || books.pool.peer(*id) != &relay)
        return;
    reconciler.on_disconnected(*id);
    books.pool.remove(relay, BootClock::now());
}

void Dispatcher::State::on_expired(RelayPeer& relay, protocol::SessionReport&& report)
{
    const RelayId id = books.pool.know(relay.name(), BootClock::now());
    if (!relay.is_ours() || report.record_id.empty())
        return account_expired(id, std::move(report), {});
    const std::string record_id = report.record_id;
    const auto seen = books.receipts.seen(record_id);
    if (seen == Receipts::Repeat::durable)
        return books.receipts.acknowledge(id, record_id);
    if (seen == Receipts::Repeat::waiting)
        return;
    if (books.receipts.is_written_off(relay.name(), report)) {
        log::warning("relay {}: a record that came too late, another was made without it: {}",
                     relay.name(), protocol::to_json(report));
        return books.receipts.acknowledge(id, record_id);
    }
    account_expired(id, std::move(report), books.receipts.expect(id, record_id));
}

void Dispatcher::State::account_expired(RelayId relay, protocol::SessionReport&& report,
                                        std::function<void()> durable)
{
    const Now now = read_clocks();
    books.hints.erase(report.call_id, report.from_tag);
    // What a relay will bring again finds everything as it is now.
    const bool comes_again = static_cast<bool>(durable);
    const std::string call_id = report.call_id, from_tag = report.from_tag;
    if (const Session* const waiting = removals.waiting(relay, call_id, from_tag)) {
        const bool taken = books.put(std::move(report), RecordDesk::End::removed, waiting, relay,
                                     std::move(durable));
        if (taken || !comes_again)
            removals.forget_waiting(relay, call_id, from_tag);
        return;
    }
    Session* session = books.directory.find_exact(report.call_id, report.from_tag);
    if (session && (session->relay != relay || session->state == Session::State::expired))
        session = nullptr;
    // Ours, to whom nobody listened when it answered a `remove`.
    const bool removed_there = report.timed_out == false;
    const bool removed = removed_there || (session && session->state == Session::State::removing);
    const bool ends_dialog = session && !removed && is_answered(report) && !is_left_by_ice(report);
    const auto end = removed ? RecordDesk::End::removed : RecordDesk::End::timed_out;
    const bool taken = books.put(std::move(report), end, session, relay, std::move(durable));
    if (!session || (!taken && comes_again))
        return;
    if (removed_there)
        return books.erase(*session);
    books.expire(*session, now);
    if (ends_dialog)
        end_dialog(*session);
}

// --- dialogs of expired calls

Result<void> Dispatcher::State::open_dialogs(const UnixListener::Access& access)
{
    Options::Proxy wanted = options.proxy;
    if (wanted.socket_path.empty())
        return {};
    wanted.socket_path = absolute_path(wanted.socket_path, environment.runtime_dir);
    wanted.reply_path = absolute_path(wanted.reply_path, environment.runtime_dir);
    auto opened = DialogTerminator::open(
        environment.io, std::move(wanted), access, [this](const DialogTerminator::Dialog& dialog) {
            const Session* const session =
                books.directory.find_exact(dialog.call_id, dialog.from_tag);
            return !session || session->state == Session::State::expired;
        });
    if (!opened)
        return opened.error();
    dialogs = std::move(*opened);
    return {};
}

void Dispatcher::State::end_dialog(const Session& session)
{
    if (dialogs && !session.dialog_id.empty())
        dialogs->end({session.dialog_id, session.call_id, session.from_tag});
}

// --- the passing of time

void Dispatcher::State::do_chores_later()
{
    const Milliseconds shortest_keep =
        std::min(options.cleanup_dead_relays_after, options.cleanup_expired_sessions_after);
    chores_timer.expires_after(std::clamp(shortest_keep / 4, shortest_chores, longest_chores));
    chores_timer.async_wait(
        [this, alive = std::weak_ptr<bool>(alive)](const asio::error_code& error) {
            if (error || alive.expired())
                return;
            do_chores_later(); // first: whatever escapes
            do_chores();
        });
}

void Dispatcher::State::do_chores()
{
    const Now now = read_clocks();
    const WallTime expired_limit = now.wall - options.cleanup_expired_sessions_after;
    while (Session* const session = books.directory.oldest_expired_before(expired_limit))
        books.erase(*session);
    books.refusals.age(now.mono);
    books.records.age(now.mono);
    reconciler.clean_up(now.mono - options.cleanup_dead_relays_after, now);
    reconciler.retry();
    removals.clean_up(now.mono - options.cleanup_dead_relays_after);
    books.receipts.ask_again();
    books.receipts.forget_before(now.mono - options.cleanup_dead_relays_after, now);
}

void Dispatcher::State::wait_for_end(std::chrono::steady_clock::time_point begin,
                                     std::function<void()> stopped)
{
    const auto waited = std::chrono::steady_clock::now() - begin;
    const bool asked = proxies.open_requests() > 0 && waited < stop_patience;
    const bool asking = dialogs && dialogs->gets_on() && waited < dialogs_patience;
    if (asked || asking) {
        stop_timer.expires_after(stop_interval);
        stop_timer.async_wait(
            [this, begin, stopped = std::move(stopped),
             alive = std::weak_ptr<bool>(alive)](const asio::error_code& error) mutable {
                if (!error && !alive.expired())
                    wait_for_end(begin, std::move(stopped));
            });
        return;
    }
    if (dialogs)
        dialogs->stop();
    books.receipts.send_now();
    if (relays)
        relays->close_all();
    books.saved.flush();
    asio::post(environment.io, std::move(stopped));
}

// --- the door

Dispatcher::Dispatcher() = default;
Dispatcher::~Dispatcher() = default;

Result<std::unique_ptr<Dispatcher>> Dispatcher::create(Options options, Environment environment)
{
    const std::string path = absolute_path(options.socket_path, environment.runtime_dir);
    if (options.name.empty())
        options.name = default_name(path);
    const UnixListener::Access access{options.socket_owner, options.socket_group,
                                      options.socket_mode.value_or(0660)};
    auto listener = UnixListener::open(path, access);
    if (!listener)
        return Error{listener.error().code, "control " + listener.error().message};
    std::unique_ptr<Dispatcher> dispatcher(new Dispatcher);
    dispatcher->state_ =
        std::make_unique<State>(std::move(options), std::move(environment), std::move(*listener));
    State& state = *dispatcher->state_;
    const Options& wanted = state.options;
    if (!wanted.listen.empty()) {
        auto relays =
            RelayServer::open(state.environment.io, wanted.listen, state.environment.tls,
                              {wanted.name, state.environment.version, wanted.relay_timeout,
                               wanted.relay_recover_interval, wanted.passport},
                              state);
        if (!relays)
            return relays.error();
        state.relays = std::move(*relays);
    }
    if (auto opened = state.proxies.open(); !opened)
        return opened.error();
    if (auto opened = state.open_dialogs(access); !opened)
        return opened.error();
    if (wanted.management.enabled) {
        auto management = ManagementServer::open(
            state.environment.io, wanted.management,
            absolute_path(wanted.management.socket_path, state.environment.runtime_dir), access,
            wanted.management.use_tls ? state.environment.tls : nullptr,
            {wanted.management.framing, state.environment.version, state.environment.records},
            state.books.pool);
        if (!management)
            return management.error();
        state.management = std::move(*management);
    }
    // Before any relay is attached: its list is compared with what is known.
    const Now now = read_clocks();
    state.books.saved.load(state.books.directory, state.books.pool, now);
    state.books.receipts.load(now, wanted.cleanup_dead_relays_after);
    state.removals.load(now);
    return dispatcher;
}

void Dispatcher::start()
{
    state_->proxies.start();
    if (state_->relays)
        state_->relays->start();
    if (state_->management)
        state_->management->start();
    state_->do_chores_later();
}

void Dispatcher::attach(RelayPeer& local)
{
    const TimePoint now = BootClock::now();
    const RelayId id = state_->books.pool.add(local, now);
    state_->reconciler.on_connected(local, id, now, Reconciler::Place::here);
}

void Dispatcher::on_expired(RelayPeer& relay, const protocol::SessionReport& report)
{
    protocol::SessionReport copy = report;
    state_->on_expired(relay, std::move(copy));
}

std::size_t Dispatcher::session_count() const noexcept
{
    return state_->books.directory.active_count();
}

std::string Dispatcher::status() const
{
    const RecordSink* const records = state_->environment.records;
    return fmt::format("{} relays, {} sessions{}", state_->books.pool.connected().size(),
                       session_count(), records ? describe(records->figures()) : "");
}

std::vector<net::Endpoint> Dispatcher::relay_endpoints() const
{
    return state_->relays ? state_->relays->endpoints() : std::vector<net::Endpoint>();
}

std::vector<net::Endpoint> Dispatcher::management_endpoints() const
{
    return state_->management ? state_->management->endpoints() : std::vector<net::Endpoint>();
}

void Dispatcher::stop(std::function<void()> stopped)
{
    state_->proxies.stop_listening();
    if (state_->relays)
        state_->relays->stop_listening();
    if (state_->management)
        state_->management->stop();
    state_->chores_timer.cancel();
    state_->wait_for_end(std::chrono::steady_clock::now(), std::move(stopped));
}

} // namespace mediaproxy::dispatcher
