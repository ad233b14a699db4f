// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/relay_state.hpp"

#include <algorithm>
#include <asio/post.hpp>

#include "base/log.hpp"
#include "protocol/hello.hpp"
#include "relay/plugin_flows.hpp"

namespace mediaproxy::relay
{

namespace
{

constexpr Milliseconds tick_interval{250};
/// A burst of calls that end together must not hold up new ones.
constexpr std::size_t most_ends_a_tick = 50;
constexpr std::size_t most_told_again = 256; ///< to a dispatcher in this process, at a time
constexpr Seconds stop_patience{1};
constexpr Milliseconds stop_look{5};

session::Rules rules_of(const Options& options, const std::string& record_id_prefix,
                        Seconds idle_timeout, bool tell_answered)
{
    session::Rules rules;
    rules.stream_timeout = options.stream_timeout;
    rules.on_hold_timeout = options.on_hold_timeout;
    rules.answer_timeout = options.answer_timeout;
    rules.idle_timeout = idle_timeout;
    rules.max_session_duration = options.max_session_duration;
    rules.allow_one_way = options.allow_one_way;
    rules.accelerate_rtcp = options.accelerate_rtcp;
    rules.routable_private_ranges = options.routable_private_ranges;
    rules.relay_name = options.name;
    rules.record_id_prefix = record_id_prefix;
    rules.tell_answered = tell_answered;
    return rules;
}

PortPool::Limits pool_limits(std::size_t media_sockets)
{
    PortPool::Limits limits;
    limits.sockets = media_sockets;
    return limits;
}

} // namespace

Relay::State::State(Options options, Environment environment, Ground ground)
    : options_(std::move(options)), environment_(std::move(environment)), started_(read_clocks()),
      calls_(environment_.store), owners_(&calls_), poller_(environment_.io),
      ports_(environment_.io, poller_, std::move(ground.addresses), options_.port_range,
             environment_.control_addresses, pool_limits(ground.media_sockets)),
      forwarder_(environment_.io, ports_, poller_),
      table_(rules_of(options_, environment_.record_id_prefix, ground.idle_timeout, calls_.keeps()),
             ports_, forwarder_, environment_.first_flow_id),
      saver_(environment_.io, calls_, table_, owners_, options_.save_interval),
      path_(table_, ports_, forwarder_), tick_timer_(environment_.io),
      sample_timer_(environment_.io), stop_timer_(environment_.io),
      alive_(std::make_shared<bool>(true))
{
}

Relay::State::~State()
{
    *alive_ = false;
}

Result<void> Relay::State::open()
{
    if (auto started = poller_.start(path_); !started)
        return started;
    load_forwarding();
    instance_ = calls_.instance(environment_.record_id_prefix);
    calls_.load([this](std::string record_id, std::string_view owner, std::string json) {
        owners_.put(owners_.id_of(owner), std::move(record_id), std::move(json));
    });
    return {};
}

void Relay::State::load_forwarding()
{
    const std::string before = calls_.forwarding();
    // One that is tried anyway clears away by itself.
    const bool is_tried =
        std::any_of(environment_.forwarding.begin(), environment_.forwarding.end(),
                    [&](const plugin::PluginSource& source) { return source.name == before; });
    if (!before.empty() && !is_tried)
        remove_leftovers(before);
    std::unique_ptr<PluginFlows> backend;
    for (const plugin::PluginSource& source : environment_.forwarding) {
        auto loaded = PluginFlows::load(environment_.io, source, forwarder_);
        if (loaded) {
            backend = *std::move(loaded);
            log::info("forwarding by {}", backend->name());
            if (backend->outlives_process())
                calls_.save_forwarding(source.name);
            break;
        }
        log::warning("forwarding: {}", loaded.error().message);
    }
    if (!backend && !environment_.forwarding.empty())
        log::warning(
            "forwarding: no back end; all packets are relayed by the daemon itself, slower");
    if (is_tried && !(backend && backend->outlives_process()))
        log::warning("forwarding: an earlier run forwarded by {} and was killed; what it left in "
                     "the kernel stays until {} works again",
                     before, before);
    // Kernel state may vanish when nobody speaks for longer than the daemon itself would wait.
    const Seconds orphans = std::max(options_.stream_timeout, options_.on_hold_timeout) * 2;
    forwarder_.start(table_, path_, std::move(backend), std::min(orphans, Seconds{86400}));
}

/// Else the calls of a killed run would be forwarded for ever, and its sysctls stay.
void Relay::State::remove_leftovers(const std::string& plugin)
{
    if (!environment_.find_forwarding)
        return;
    const auto loaded =
        PluginFlows::load(environment_.io, environment_.find_forwarding(plugin), forwarder_);
    if (!loaded) {
        log::warning("forwarding: an earlier run forwarded by {} and was killed; what it left in "
                     "the kernel cannot be removed: {}",
                     plugin, loaded.error().message);
        return;
    }
    log::info("forwarding: what an earlier run left in the kernel by {} is removed", plugin);
    calls_.save_forwarding({});
}

void Relay::State::start()
{
    sample_later();
    std::unique_ptr<Resolver> resolver;
    if (DispatcherLocator::needs_resolver(options_.dispatchers)) {
        auto created = Resolver::create(environment_.io, environment_.name_servers);
        if (created)
            resolver = *std::move(created);
        else
            log::error("dispatchers: {}", created.error().message);
    }
    locator_ = std::make_unique<DispatcherLocator>(
        environment_.io, options_.dispatchers, options_.dns_check_interval, std::move(resolver));
    locator_->start([this](const auto& targets) { on_targets(targets); });
}

void Relay::State::on_targets(const std::vector<DispatcherTarget>& targets)
{
    // By any name: a dispatcher takes a second connection for the first one come back.
    for (LinkEntry& entry : links_)
        entry.retired = std::none_of(targets.begin(), targets.end(), [&](const auto& target) {
            return target.endpoint == entry.target.endpoint;
        });
    for (const DispatcherTarget& target : targets) {
        const bool is_known = std::any_of(links_.begin(), links_.end(), [&](const auto& entry) {
            return entry.target.endpoint == target.endpoint;
        });
        if (is_known)
            continue;
        const std::string address = target.endpoint.address.to_string();
        const bool is_literal = target.name.starts_with(address);
        const DispatcherLink::Settings settings{environment_.tls, options_.passport,
                                                options_.keepalive_interval,
                                                options_.reconnect_delay};
        auto link = std::make_unique<DispatcherLink>(
            environment_.io, is_literal ? target.name : target.name + " at " + address,
            target.endpoint, settings, *this, owners_);
        owners_.revoke(link->address_owner());
        log::info("dispatcher {}: added", link->name());
        link->start();
        links_.push_back({target, std::move(link)});
    }
    tick_later();
}

void Relay::State::drop_retired()
{
    for (auto entry = links_.begin(); entry != links_.end();) {
        if (!entry->retired || !may_go(*entry)) {
            ++entry;
            continue;
        }
        log::info("dispatcher {}: no longer one of ours; disconnected", entry->link->name());
        entry->link->stop();
        owners_.abandon(entry->link->address_owner());
        entry = links_.erase(entry);
    }
}

bool Relay::State::may_go(const LinkEntry& entry)
{
    const session::OwnerId owner = entry.link->owner();
    // Also those that it inherited: they are counted under whose they were at their start.
    std::size_t sessions = 0;
    for (const session::OwnerId each : owners_.behind(owner))
        sessions += table_.session_count(each);
    if (sessions == 0 && owners_.letters(owner).empty())
        return true;
    // The dispatcher has moved to another address, and the old one does not answer.
    const auto successor = std::find_if(links_.begin(), links_.end(), [&](const auto& other) {
        return !other.retired && (other.target.name == entry.target.name ||
                                  (other.link->is_open() && other.link->owner() == owner));
    });
    if (successor == links_.end() || (entry.link->is_open() && successor->link->owner() != owner))
        return false;
    owners_.bequeath(owner, successor->link->owner());
    return true;
}

session::OwnerId Relay::State::add_local_owner(std::string name, OnExpired on_expired)
{
    const session::OwnerId id = owners_.id_of(name);
    local_owners_[id] = std::move(on_expired);
    return id;
}

void Relay::State::tell_local_owner(session::OwnerId id, std::size_t window)
{
    const OnExpired& tell = local_owners_.at(id);
    // Not in send(): an acknowledgement may come at once, and takes the letter away.
    std::vector<std::string> letters;
    owners_.send(id, window, [&](const Letter& letter) { letters.push_back(letter.json); });
    for (const std::string& json : letters) {
        if (const auto report = protocol::parse_report(json))
            tell(*report);
        else
            log::error("relay {}: a report of the earlier run: {}", options_.name,
                       report.error().message);
    }
}

Result<protocol::Ports> Relay::State::update(const protocol::Update& update, session::OwnerId owner)
{
    if (halting_ && !table_.knows(update.call_id, update.from_tag) &&
        (update.to_tag.empty() || !table_.knows(update.call_id, update.to_tag)))
        return Error{Error::Code::unavailable, "the relay is halting"};
    auto ports = table_.update(update, owner, read_clocks());
    tick_later();
    saver_.look();
    return ports;
}

Result<RelayRequests::Removed> Relay::State::remove(const protocol::Remove& remove)
{
    auto report = table_.remove(remove, read_clocks());
    if (!report)
        return std::move(report).error();
    const bool ended = !table_.knows(report->call_id, report->from_tag);
    after_session_end();
    return Removed{*std::move(report), ended};
}

void Relay::State::acknowledge(session::OwnerId owner, const std::vector<std::string>& record_ids)
{
    for (const std::string& record_id : record_ids) {
        if (!owners_.acknowledge(owner, record_id))
            owners_.forget_call(record_id);
    }
    if (local_owners_.contains(owner) && owners_.unsent_count(owner) > 0)
        tell_local_owner(owner, most_told_again);
}

void Relay::State::tell_local_owner_again(session::OwnerId id)
{
    owners_.forget_sent(id);
    tell_local_owner(id, most_told_again);
}

protocol::RelaySummary Relay::State::summary() const
{
    protocol::RelaySummary summary;
    const auto told = ports_.addresses().told();
    summary.ip = told.empty() ? std::string() : told.front().to_string();
    summary.version = environment_.version;
    summary.status = halting_ ? "halting" : "active";
    summary.uptime = std::chrono::duration_cast<Seconds>(BootClock::now() - started_.mono).count();
    summary.session_count = table_.session_count();
    summary.stream_count = table_.stream_count();
    summary.bps_relayed = bps_;
    const auto flows = table_.flow_count();
    if (forwarder_.has_backend())
        summary.flow_count.emplace_back(forwarder_.backend_name(), flows.installed);
    summary.flow_count.emplace_back("slow", flows.slow);
    return summary;
}

std::uint64_t Relay::State::list(std::uint64_t after, std::size_t most,
                                 const EachReport& each) const
{
    return table_.list(after, most, read_clocks(), each);
}

std::string Relay::State::hello() const
{
    protocol::Hello hello;
    hello.name = options_.name;
    hello.version = environment_.version;
    hello.instance = instance_;
    hello.run = environment_.record_id_prefix;
    hello.addresses = media_addresses();
    for (const net::Address& address : ports_.addresses().bound())
        hello.families.push_back(address.family());
    hello.features = {std::string(protocol::feature_pages),
                      std::string(protocol::feature_acknowledge),
                      std::string(protocol::feature_owners), std::string(protocol::feature_keep)};
    return protocol::to_json(hello);
}

std::vector<net::Address> Relay::State::media_addresses() const
{
    std::vector<net::Address> addresses = ports_.addresses().told();
    for (const net::Address& bound : ports_.addresses().bound()) {
        if (std::find(addresses.begin(), addresses.end(), bound) == addresses.end())
            addresses.push_back(bound);
    }
    return addresses;
}

/// One timer for all sessions, running while there is something to wait for.
void Relay::State::tick_later()
{
    if (std::exchange(ticking_, true))
        return;
    tick_timer_.expires_after(tick_interval);
    tick_timer_.async_wait([this, alive = alive_](const asio::error_code& error) {
        if (error || !*alive)
            return;
        ticking_ = false;
        tick();
    });
}

void Relay::State::tick()
{
    const Now now = read_clocks();
    const auto deadline = table_.next_deadline();
    if (deadline && *deadline <= now.mono)
        deliver(table_.expire(now, most_ends_a_tick));
    drop_retired();
    const bool waiting =
        std::any_of(links_.begin(), links_.end(), [](const auto& entry) { return entry.retired; });
    const auto next = table_.next_deadline();
    if (next && *next <= now.mono)
        tick_soon();
    else if (table_.session_count() > 0 || waiting)
        tick_later();
}

/// There is more to end: after what else waits for its turn.
void Relay::State::tick_soon()
{
    ticking_ = true;
    asio::post(environment_.io, [this, alive = alive_] {
        if (!*alive)
            return;
        ticking_ = false;
        tick();
    });
}

void Relay::State::sample_later()
{
    if (options_.traffic_sampling_period <= Seconds{0})
        return;
    sample_timer_.expires_after(options_.traffic_sampling_period);
    sample_timer_.async_wait([this, alive = alive_](const asio::error_code& error) {
        if (error || !*alive)
            return;
        const std::uint64_t total = table_.total_bytes();
        const double period = static_cast<double>(options_.traffic_sampling_period.count());
        bps_ = static_cast<double>(total - sampled_bytes_) * 8 / period;
        sampled_bytes_ = total;
        sample_later();
    });
}

void Relay::State::deliver(std::vector<session::Expired> expired)
{
    if (expired.empty())
        return;
    for (const session::Expired& end : expired) {
        const auto local = local_owners_.find(owners_.resolve(end.owner));
        const bool is_local = local != local_owners_.end();
        owners_.put(end.owner, end.report.record_id, protocol::to_json(end.report),
                    is_local ? Letter::Way::told : Letter::Way::unsent);
        if (is_local)
            local->second(end.report);
    }
    for (LinkEntry& entry : links_)
        entry.link->send_letters();
    after_session_end();
}

void Relay::State::after_session_end()
{
    if (!drained_ || table_.session_count() > 0)
        return;
    // Not from here: the answer to the last `remove` is not written yet.
    asio::post(environment_.io, std::exchange(drained_, nullptr));
}

void Relay::State::drain(std::function<void()> drained)
{
    log::info("relay {}: halting; {} sessions left", options_.name, table_.session_count());
    halting_ = true;
    drained_ = std::move(drained);
    after_session_end();
}

void Relay::State::stop(std::function<void()> stopped)
{
    halting_ = true;
    stopped_ = std::move(stopped);
    forwarder_.take_back_all(); // else each session takes back its own, one by one
    deliver(table_.end_all(read_clocks()));
    for (LinkEntry& entry : links_)
        entry.link->send_last_letters();
    wait_until_told(BootClock::now() + stop_patience);
}

void Relay::State::wait_until_told(TimePoint patience)
{
    const bool told =
        std::all_of(links_.begin(), links_.end(),
                    [](const auto& entry) { return entry.link->told_all(); }) &&
        std::all_of(local_owners_.begin(), local_owners_.end(),
                    [&](const auto& entry) { return owners_.letters(entry.first).empty(); });
    if (!told && BootClock::now() < patience) {
        stop_timer_.expires_after(stop_look);
        stop_timer_.async_wait([this, alive = alive_, patience](const asio::error_code& error) {
            if (!error && *alive)
                wait_until_told(patience);
        });
        return;
    }
    if (locator_)
        locator_->stop();
    links_.clear();
    saver_.stop();
    owners_.keep_or_log();
    forwarder_.stop();
    calls_.save_forwarding({});
    ports_.stop();
    tick_timer_.cancel();
    sample_timer_.cancel();
    asio::post(environment_.io, std::exchange(stopped_, nullptr));
}

} // namespace mediaproxy::relay
