// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/forwarder.hpp"

#include <algorithm>
#include <asio/post.hpp>
#include <utility>

#include "base/log.hpp"

namespace mediaproxy::relay
{

using session::FlowId;

namespace
{

constexpr Seconds read_interval{1};
constexpr Milliseconds refresh_patience{100};
/// One transaction of a back end, some two milliseconds: a burst of calls holds up nobody else.
constexpr std::size_t installs_a_turn = 200;
constexpr Seconds warning_interval{60};
constexpr std::uint8_t dscp_untouched = 255;

/// How long a flow that was refused or lost stays on the slow path, for every reason.
constexpr Seconds retry_lost{1}, retry_refused{5}, retry_unsuitable{60};

Seconds retry_after(mp_status refusal) noexcept
{
    return refusal == MP_E_UNSUPPORTED || refusal == MP_E_INVALID ? retry_unsuitable
                                                                  : retry_refused;
}

std::string_view why(mp_status status) noexcept
{
    switch (status) {
    case MP_E_INVALID:
        return "it calls them invalid";
    case MP_E_UNSUPPORTED:
        return "it does not support them";
    case MP_E_DENIED:
        return "it lacks a privilege";
    case MP_E_AGAIN:
        return "it is busy";
    default:
        return "it failed";
    }
}

} // namespace

Forwarder::Forwarder(asio::io_context& io, PortPool& ports, MediaPoller& poller)
    : io_(io), ports_(ports), poller_(poller), read_timer_(io), refresh_timer_(io),
      alive_(std::make_shared<bool>(true))
{
}

Forwarder::~Forwarder()
{
    *alive_ = false;
}

void Forwarder::start(session::SessionTable& table, StrayJudge& strays,
                      std::unique_ptr<FlowBackend> backend, Seconds orphan_timeout)
{
    table_ = &table;
    strays_ = &strays;
    backend_ = std::move(backend);
    orphan_timeout_ms_ = static_cast<std::uint32_t>(
        std::chrono::duration_cast<Milliseconds>(orphan_timeout).count());
    if (backend_)
        read_later();
}

void Forwarder::take_back_all()
{
    std::vector<FlowId> all;
    for (const auto& [id, flow] : flows_)
        all.push_back(id);
    take_back(all, Seconds{0});
}

void Forwarder::stop()
{
    take_back_all();
    deleted_.clear();
    failed_.clear();
    read_timer_.cancel();
    finish_refresh();
    backend_.reset();
}

void Forwarder::want(SocketId id)
{
    if (!backend_)
        return;
    wanted_.push_back(id);
    install_soon();
}

void Forwarder::install_soon()
{
    if (std::exchange(install_posted_, true))
        return;
    asio::post(io_, [this, alive = alive_] {
        if (*alive)
            install_wanted();
    });
}

void Forwarder::install_wanted()
{
    install_posted_ = false;
    if (wanted_.empty())
        return;
    std::vector<session::SessionTable::FlowPlan> plans;
    const std::size_t taken = std::min(wanted_.size(), installs_a_turn);
    plans.reserve(taken);
    for (std::size_t i = 0; i < taken; ++i) {
        const session::SocketRole role = ports_.role(wanted_[i]);
        if (role.stream == nullptr)
            continue;
        if (auto plan = table_->begin_flow(role))
            plans.push_back(*plan);
    }
    wanted_.erase(wanted_.begin(), wanted_.begin() + static_cast<std::ptrdiff_t>(taken));
    if (!wanted_.empty())
        install_soon();
    if (!plans.empty())
        install(plans);
}

void Forwarder::install(std::span<session::SessionTable::FlowPlan> plans)
{
    std::vector<const mp_flow*> flows;
    std::vector<mp_status> each(plans.size(), MP_E_FAILED);
    for (auto& plan : plans) {
        plan.flow.struct_size = sizeof plan.flow;
        plan.flow.caller_fd = ports_.fd({plan.caller_slot, plan.component});
        plan.flow.callee_fd = ports_.fd({plan.callee_slot, plan.component});
        plan.flow.orphan_timeout_ms = orphan_timeout_ms_;
        plan.flow.dscp = dscp_untouched;
        flows.push_back(&plan.flow);
    }
    std::string sentence;
    if (backend_)
        backend_->install(flows, each, sentence);
    for (std::size_t i = 0; i < plans.size(); ++i) {
        const FlowId id = plans[i].flow.id;
        if (each[i] == MP_OK) {
            const Flow flow{plans[i].caller_slot, plans[i].callee_slot, plans[i].component};
            flows_.emplace(id, flow);
            watch(flow, Watch::theirs);
            continue;
        }
        mp_flow_reading nothing{};
        nothing.id = id;
        const TimePoint now = BootClock::now();
        table_->abandon_flow(id, nothing, now + retry_after(each[i]), now);
        warn_refused(sentence.empty() ? why(each[i]) : sentence);
    }
}

mp_flow_reading Forwarder::uninstall(FlowId id) noexcept
{
    mp_flow_reading totals{};
    totals.id = id;
    totals.caller_seen_ms = totals.callee_seen_ms = -1;
    const auto found = flows_.find(id);
    if (found == flows_.end())
        return totals;
    const Flow flow = found->second;
    flows_.erase(found);
    if (backend_)
        backend_->remove({&id, 1}, {&totals, 1});
    watch(flow, Watch::ours);
    return totals;
}

/// All of these that are still there, at once: one by one costs a back end several times as much.
/// Returns how many that were.
std::size_t Forwarder::take_back(std::span<const FlowId> wanted, Seconds retry)
{
    std::vector<FlowId> ids;
    std::vector<Flow> flows;
    for (const FlowId id : wanted) {
        if (const auto taken = flows_.extract(id); !taken.empty()) {
            ids.push_back(id);
            flows.push_back(taken.mapped());
        }
    }
    std::vector<mp_flow_reading> totals(ids.size());
    if (backend_ && !ids.empty())
        backend_->remove(ids, totals);
    const TimePoint now = BootClock::now();
    for (std::size_t i = 0; i < ids.size(); ++i) {
        watch(flows[i], Watch::ours);
        table_->abandon_flow(ids[i], totals[i], now + retry, now);
    }
    return ids.size();
}

void Forwarder::watch(const Flow& flow, Watch watch) noexcept
{
    if (!backend_ || !backend_->reads_sockets())
        return;
    for (const std::uint32_t slot : {flow.caller_slot, flow.callee_slot}) {
        const SocketId id{slot, flow.component};
        if (watch == Watch::theirs) {
            poller_.remove(ports_.fd(id));
            continue;
        }
        if (auto added = poller_.add(ports_.fd(id), id); !added)
            log::error("{}", added.error().message);
    }
}

void Forwarder::warn_refused(std::string_view reason)
{
    ++refused_;
    const TimePoint now = BootClock::now();
    if (warned_ != TimePoint{} && now - warned_ < warning_interval)
        return;
    warned_ = now;
    log::warning("forwarding: the back end did not take {} flow(s): {}; their packets are relayed "
                 "by the daemon itself, slower",
                 refused_, reason);
    refused_ = 0;
}

void Forwarder::on_lost(FlowId id, std::uint32_t reason)
{
    if (deleted_.empty() && failed_.empty())
        asio::post(io_, [this, alive = alive_] {
            if (*alive)
                take_back_lost();
        });
    (reason == MP_FLOW_DELETED ? deleted_ : failed_).push_back(id);
}

void Forwarder::take_back_lost()
{
    for (const auto& [lost, why] : {std::pair(&deleted_, "someone deleted their state"),
                                    std::pair(&failed_, "it can no longer forward")}) {
        const std::size_t count = take_back(std::exchange(*lost, {}), retry_lost);
        if (count > 0)
            log::info("forwarding: the back end lost {} flow(s) ({}); on the slow path again",
                      count, why);
    }
}

void Forwarder::on_stray(FlowId id, session::Party side, const net::Endpoint& source,
                         std::span<const std::byte> data)
{
    const auto found = flows_.find(id);
    if (found == flows_.end())
        return;
    const Flow& flow = found->second;
    const std::uint32_t slot = side == session::Party::caller ? flow.caller_slot : flow.callee_slot;
    strays_->on_stray({slot, flow.component}, source, data);
}

void Forwarder::on_readings(std::uint64_t request, std::span<const mp_flow_reading> readings,
                            Piece piece)
{
    if (table_ == nullptr)
        return;
    table_->on_readings(readings, BootClock::now());
    if (piece == Piece::last && request >= refresh_request_)
        finish_refresh();
}

void Forwarder::refresh(std::function<void()> done)
{
    if (flows_.empty() || !backend_) {
        done();
        return;
    }
    waiting_.push_back(std::move(done));
    read();
    refresh_request_ = read_request_;
    if (waiting_.size() > 1)
        return;
    refresh_timer_.expires_after(refresh_patience);
    refresh_timer_.async_wait([this, alive = alive_](const asio::error_code& error) {
        if (!error && *alive)
            finish_refresh();
    });
}

void Forwarder::finish_refresh()
{
    refresh_timer_.cancel();
    for (auto& done : std::exchange(waiting_, {}))
        done();
}

void Forwarder::read_later()
{
    read_timer_.expires_after(read_interval);
    read_timer_.async_wait([this, alive = alive_](const asio::error_code& error) {
        if (error || !*alive || !backend_)
            return;
        read(); // also without flows: by it a back end notices that it can forward again
        read_later();
    });
}

void Forwarder::read()
{
    if (auto asked = backend_->read(++read_request_); !asked)
        log::warning("forwarding: no counters from the back end: {}", asked.error().message);
}

} // namespace mediaproxy::relay
