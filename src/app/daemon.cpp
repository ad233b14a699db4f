// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/daemon.hpp"

#include <asio/signal_set.hpp>
#include <asio/steady_timer.hpp>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <unistd.h>

#include "accounting/accounting.hpp"
#include "app/accounting_command.hpp"
#include "app/check.hpp"
#include "app/folders.hpp"
#include "app/local_link.hpp"
#include "app/log_sinks.hpp"
#include "app/service_manager.hpp"
#include "app/store_adapters.hpp"
#include "config/load.hpp"
#include "dispatcher/dispatcher.hpp"
#include "relay/relay.hpp"
#include "store/store.hpp"

namespace mediaproxy::app
{

namespace
{

// Together less than the TimeoutStopSec of packaging/systemd, behind which we would be killed.
constexpr Seconds stop_deadline{6}; ///< for what a stop may wait for; then we go anyway
constexpr Milliseconds accounting_grace{2000};
constexpr Milliseconds cancel_patience{3000}; ///< for back ends that are told to return
constexpr Milliseconds last_flush{2000};      ///< when they do not

std::string_view to_string(config::Role role) noexcept
{
    return role == config::Role::dispatcher ? "dispatcher"
           : role == config::Role::relay    ? "relay"
                                            : "dispatcher and relay";
}

std::vector<net::Endpoint> control_addresses(const config::Config& config)
{
    std::vector<net::Endpoint> all = config.dispatcher.listen;
    const auto& management = config.dispatcher.management.listen;
    all.insert(all.end(), management.begin(), management.end());
    return all;
}

} // namespace

class Daemon::State
{
public:
    State(asio::io_context& io, config::Config config);
    ~State();
    Result<void> open();
    void start();

private:
    Result<void> open_store();
    Result<void> open_relay();
    Result<void> open_dispatcher();
    void join_roles();
    std::string status() const;
    std::string places() const;

    void await_signal();
    void on_signal(int signal);
    void toggle_debug();
    void drain();
    void stop();
    void stop_dispatcher();
    void finish();
    [[noreturn]] void leave();

    asio::io_context& io_;
    const config::Config config_;
    std::optional<RoleLock> lock_;
    std::unique_ptr<store::Store> store_;
    std::unique_ptr<accounting::Accounting> accounting_;
    std::optional<Turn> turn_;
    std::optional<RecordsToAccounting> records_;
    std::optional<StateToStore> kept_state_;
    TlsContexts certificates_;
    std::unique_ptr<relay::Relay> relay_;
    std::unique_ptr<LocalLink> local_link_;
    std::unique_ptr<dispatcher::Dispatcher> dispatcher_;
    ServiceManager service_manager_;
    asio::signal_set signals_;
    asio::steady_timer stop_timer_;
    enum class Phase { serving, draining, stopping } phase_ = Phase::serving;
};

Daemon::State::State(asio::io_context& io, config::Config config)
    : io_(io), config_(std::move(config)), service_manager_(io, [this] { return status(); }),
      signals_(io, SIGTERM, SIGINT, SIGHUP), stop_timer_(io)
{
    signals_.add(SIGUSR1);
}

/// Records that came until now have this long to reach their back ends; what is left waits in the
/// store.
Daemon::State::~State()
{
    dispatcher_.reset();
    local_link_.reset();
    relay_.reset();
    // All but the store is down when that is the end.
    if (accounting_)
        accounting_->stop(accounting_grace, {cancel_patience, [this] { leave(); }});
}

/// While a plugin hangs. Its records are in the spool, to be written by the next start.
void Daemon::State::leave()
{
    if (auto flushed = store_->flush(last_flush); !flushed) {
        const auto unwritten = store_->unwritten();
        log::error("store {}; {} accounting records are lost", flushed.error().message,
                   unwritten ? unwritten->records : 0);
    }
    log::error("stopped without waiting for it");
    ::_exit(EXIT_FAILURE);
}

Result<void> Daemon::State::open()
{
    if (const auto wrong = contradictions(config_); !wrong.empty())
        return invalid(fmt::format("{}", fmt::join(wrong, "; ")));
    if (auto made = make_folder(config_.runtime_dir, 0755); !made)
        return made;
    const bool must_keep = config_.store.spool == store::Options::Spool::disk;
    if (auto entered = enter_folder(config_.state_dir, 0750); !entered && must_keep)
        return entered;
    auto lock = RoleLock::take(config_.runtime_dir, config_.role);
    if (!lock)
        return std::move(lock).error();
    lock_.emplace(std::move(*lock));
    auto certificates = load_certificates(config_);
    if (!certificates)
        return std::move(certificates).error();
    certificates_ = std::move(*certificates);
    if (auto opened = open_store(); !opened)
        return opened;
    if (has_relay(config_.role)) {
        if (auto opened = open_relay(); !opened)
            return opened;
    }
    if (has_dispatcher(config_.role)) {
        if (auto opened = open_dispatcher(); !opened)
            return opened;
    }
    if (relay_ && dispatcher_)
        join_roles();
    return {};
}

/// A relay alone keeps a file of its own, so that both roles may run as two processes on one host.
Result<void> Daemon::State::open_store()
{
    const std::string file = has_dispatcher(config_.role)
                                 ? dispatcher_store(config_)
                                 : config_.state_dir + "/mediaproxyd-relay.sqlite";
    auto store = store::Store::open(file, config_.store);
    if (!store)
        return std::move(store).error();
    store_ = std::move(*store);
    turn_.emplace(io_, *store_);
    kept_state_.emplace(*store_, *turn_);
    return {};
}

Result<void> Daemon::State::open_relay()
{
    relay::Relay::Environment environment{.io = io_};
    environment.tls = certificates_.relay;
    environment.find_forwarding = [this](const std::string& plugin) {
        return plugin_source(config_, plugin::Kind::forwarding, config_.forwarding_table(plugin));
    };
    for (const std::string& name : config_.relay.forwarding)
        environment.forwarding.push_back(
            plugin_source(config_, plugin::Kind::forwarding, config_.forwarding_table(name)));
    environment.first_flow_id = store_->first_id();
    environment.record_id_prefix = store_->record_id_prefix() + "r"; // each role counts by itself
    environment.control_addresses = control_addresses(config_);
    environment.version = MEDIAPROXYD_VERSION;
    environment.store = &*kept_state_;
    auto relay = relay::Relay::create(config_.relay, std::move(environment));
    if (!relay)
        return std::move(relay).error();
    relay_ = std::move(*relay);
    return {};
}

Result<void> Daemon::State::open_dispatcher()
{
    accounting_ = std::make_unique<accounting::Accounting>(*store_);
    for (const std::string& name : config_.dispatcher.accounting)
        accounting_->add(
            io_, plugin_source(config_, plugin::Kind::accounting, config_.accounting_table(name)));
    records_.emplace(io_, *accounting_, *store_, *turn_);
    dispatcher::Dispatcher::Environment environment{.io = io_};
    environment.tls = certificates_.dispatcher;
    environment.store = &*kept_state_;
    environment.records = &*records_;
    environment.runtime_dir = config_.runtime_dir;
    environment.version = MEDIAPROXYD_VERSION;
    auto dispatcher = dispatcher::Dispatcher::create(config_.dispatcher, std::move(environment));
    if (!dispatcher)
        return std::move(dispatcher).error();
    dispatcher_ = std::move(*dispatcher);
    return {};
}

void Daemon::State::join_roles()
{
    local_link_ =
        std::make_unique<LocalLink>(*relay_, config_.dispatcher.name,
                                    [this](LocalLink& link, const protocol::SessionReport& report) {
                                        if (dispatcher_)
                                            dispatcher_->on_expired(link, report);
                                    });
    // Before its list is asked for: what is missing there and was told now is not lost.
    local_link_->tell_of_earlier_run();
    dispatcher_->attach(*local_link_);
}

void Daemon::State::start()
{
    await_signal();
    if (relay_)
        relay_->start();
    if (dispatcher_)
        dispatcher_->start();
    service_manager_.ready();
    log::info("mediaproxyd {} serves as {}{}", MEDIAPROXYD_VERSION, to_string(config_.role),
              dispatcher_ ? places() : "");
}

std::string Daemon::State::places() const
{
    const auto list = [](std::string_view what, const std::vector<net::Endpoint>& endpoints) {
        std::string text;
        for (const net::Endpoint& endpoint : endpoints)
            text += (text.empty() ? fmt::format("; {} at ", what) : ", ") + endpoint.to_string();
        return text;
    };
    return fmt::format(
        "; control socket {}{}{}",
        (std::filesystem::path(config_.runtime_dir) / config_.dispatcher.socket_path).string(),
        list("relays", dispatcher_->relay_endpoints()),
        list("management", dispatcher_->management_endpoints()));
}

std::string Daemon::State::status() const
{
    if (dispatcher_)
        return dispatcher_->status();
    return relay_ ? fmt::format("{} sessions", relay_->session_count()) : "";
}

void Daemon::State::await_signal()
{
    signals_.async_wait([this](std::error_code cancelled, int signal) {
        if (cancelled)
            return;
        on_signal(signal);
        await_signal();
    });
}

void Daemon::State::on_signal(int signal)
{
    if (signal == SIGUSR1) {
        toggle_debug();
    } else if (signal == SIGHUP && relay_) {
        drain();
    } else if (phase_ == Phase::stopping) {
        log::warning("told to stop twice: stopping at once");
        finish();
    } else {
        stop();
    }
}

void Daemon::State::toggle_debug()
{
    const bool back = log::level() == log::Level::debug;
    const log::Level usual =
        config_.log.level == log::Level::debug ? log::Level::info : config_.log.level;
    log::set_level(back ? usual : log::Level::debug);
    log::write(log::Level::info, fmt::format("logging {} now", app::to_string(log::level())));
}

void Daemon::State::drain()
{
    if (phase_ != Phase::serving)
        return;
    phase_ = Phase::draining;
    log::info("draining: no new sessions, {} to go", relay_->session_count());
    if (local_link_)
        local_link_->halt();
    relay_->drain([this] {
        log::info("drained");
        stop();
    });
}

/// First the relay, whose sessions end and are recorded, then the dispatcher.
void Daemon::State::stop()
{
    if (phase_ == Phase::stopping)
        return;
    phase_ = Phase::stopping;
    log::info("stopping");
    service_manager_.stopping();
    stop_timer_.expires_after(stop_deadline);
    stop_timer_.async_wait([this](std::error_code cancelled) {
        if (cancelled)
            return;
        log::warning("still not everything has ended after {} s: stopping anyway",
                     stop_deadline.count());
        finish();
    });
    if (relay_)
        relay_->stop([this] { stop_dispatcher(); });
    else
        stop_dispatcher();
}

void Daemon::State::stop_dispatcher()
{
    if (dispatcher_)
        dispatcher_->stop([this] { finish(); });
    else
        finish();
}

void Daemon::State::finish()
{
    io_.stop();
}

Daemon::Daemon(std::unique_ptr<State> state) : state_(std::move(state))
{
}

Daemon::~Daemon() = default;

Result<std::unique_ptr<Daemon>> Daemon::create(asio::io_context& io, config::Config config)
{
    auto state = std::make_unique<State>(io, std::move(config));
    if (auto opened = state->open(); !opened)
        return std::move(opened).error();
    return std::unique_ptr<Daemon>(new Daemon(std::move(state)));
}

void Daemon::start()
{
    state_->start();
}

} // namespace mediaproxy::app
