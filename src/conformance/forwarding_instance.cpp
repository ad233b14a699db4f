// SPDX-License-Identifier: GPL-2.0-or-later
#include "conformance/forwarding_instance.hpp"

#include <algorithm>
#include <cstring>
#include <fmt/format.h>
#include <new>
#include <utility>

namespace mediaproxy::conformance
{

namespace
{

constexpr mp_status unset = 12345;

mp_flow_reading nothing_of(mp_flow_id id)
{
    return {id, {}, {}, -1, -1};
}

/// Flows to pass to a plugin, which may read them until this object ends.
class LentFlows
{
public:
    explicit LentFlows(std::span<const mp_flow> flows)
        : structs_("the flows", flows.size_bytes()),
          pointers_("the array of flows", flows.size() * sizeof(const mp_flow*))
    {
        auto* const structs = reinterpret_cast<mp_flow*>(structs_.data());
        auto* const pointers = reinterpret_cast<const mp_flow**>(pointers_.data());
        std::copy(flows.begin(), flows.end(), structs);
        for (std::size_t i = 0; i < flows.size(); ++i)
            pointers[i] = &structs[i];
        structs_.protect();
        pointers_.protect();
    }
    const mp_flow* const* data() const noexcept
    {
        return reinterpret_cast<const mp_flow* const*>(pointers_.data());
    }

private:
    LentMemory structs_, pointers_;
};

/// An array that the plugin fills.
template <class Element>
class LentArray
{
public:
    LentArray(std::string_view label, std::size_t count)
        : memory_(label, count * sizeof(Element)), count_(count)
    {
    }
    Element* data() const noexcept { return reinterpret_cast<Element*>(memory_.data()); }
    std::vector<Element> take_back(Stage& stage, std::string_view label)
    {
        std::vector<Element> elements(data(), data() + count_);
        stage.take_back(memory_, label);
        return elements;
    }

private:
    LentMemory memory_;
    std::size_t count_;
};

} // namespace

FlowEvents::FlowEvents(Stage& stage)
    : stage_(stage), memory_("the mp_flow_events", sizeof(mp_flow_events))
{
    new (memory_.data()) mp_flow_events{sizeof(mp_flow_events), 0, on_lost, on_stray, on_readings};
    memory_.protect();
}

const mp_flow_events* FlowEvents::abi() const noexcept
{
    return reinterpret_cast<const mp_flow_events*>(memory_.data());
}

FlowEvents& FlowEvents::of(const mp_host* host)
{
    return *static_cast<FlowEvents*>(WitnessHost::attachment_of(host));
}

void FlowEvents::on_lost(const mp_host* host, mp_flow_id, std::uint32_t reason) noexcept
{
    FlowEvents& self = of(host);
    if (reason > MP_FLOW_FAILED)
        self.stage_.fault(fmt::format("lost a flow for reason {}, which there is not", reason));
    const std::lock_guard held(self.mutex_);
    ++self.lost_;
}

void FlowEvents::on_stray(const mp_host* host, mp_flow_id id, std::uint32_t side,
                          const mp_endpoint* from, const void* data, std::uint32_t size) noexcept
{
    FlowEvents& self = of(host);
    const std::lock_guard held(self.mutex_);
    self.strays_.push_back({id, side, *from, {static_cast<const char*>(data), size}});
}

void FlowEvents::on_readings(const mp_host* host, std::uint64_t request,
                             const mp_flow_reading* readings, std::uint32_t count,
                             std::uint32_t last) noexcept
{
    FlowEvents& self = of(host);
    const std::lock_guard held(self.mutex_);
    if (request != self.request_)
        self.stage_.fault(fmt::format("answered request {} of read, where {} was asked last",
                                      request, self.request_));
    else if (self.answered_)
        self.stage_.fault("went on answering a read whose last piece it had marked");
    for (std::uint32_t i = 0; i < count; ++i)
        self.take(readings[i]);
    self.answered_ = self.answered_ || last != 0;
}

void FlowEvents::take(const mp_flow_reading& reading)
{
    if (!readings_.emplace(reading.id, reading).second)
        stage_.fault(fmt::format("answered a read with flow {} twice", reading.id));
}

std::vector<FlowEvents::Stray> FlowEvents::strays() const
{
    const std::lock_guard held(mutex_);
    return strays_;
}

std::size_t FlowEvents::lost() const
{
    const std::lock_guard held(mutex_);
    return lost_;
}

std::map<mp_flow_id, mp_flow_reading> FlowEvents::readings() const
{
    const std::lock_guard held(mutex_);
    return readings_;
}

bool FlowEvents::answered() const
{
    const std::lock_guard held(mutex_);
    return answered_;
}

void FlowEvents::expect(std::uint64_t request)
{
    const std::lock_guard held(mutex_);
    request_ = request;
    answered_ = false;
    readings_.clear();
}

ForwardingInstance::ForwardingInstance(const Guest& guest, const char* owner)
    : stage_(guest.stage()), vtable_(guest.forwarding()), events_(stage_),
      host_(stage_, owner, &events_)
{
    const PreparedSettings settings(guest);
    create(settings.abi());
    if (created_.ok())
        return;
    const std::string refusal =
        fmt::format("create refused with {}: {}", to_text(created_.status), created_.message);
    if (created_.status == MP_E_UNSUPPORTED || created_.status == MP_E_DENIED)
        stage_.leave_out(refusal);
    stage_.give_up(refusal);
}

ForwardingInstance::ForwardingInstance(const Guest& guest, std::span<const mp_setting> settings)
    : stage_(guest.stage()), vtable_(guest.forwarding()), events_(stage_),
      host_(stage_, "check-plugin", &events_)
{
    create(settings);
}

ForwardingInstance::~ForwardingInstance()
{
    destroy(MP_DESTROY_REMOVE);
}

void ForwardingInstance::create(std::span<const mp_setting> settings)
{
    const LentSettings lent(settings);
    created_ = stage_.call("create", [&](mp_error* error) {
        return vtable_.create(host_.abi(), events_.abi(), lent.data(), lent.count(), &instance_,
                              error);
    });
    alive_ = created_.ok();
}

void ForwardingInstance::destroy(std::uint32_t mode)
{
    if (std::exchange(alive_, false))
        stage_.enter("destroy", [&] { vtable_.destroy(instance_, mode); });
}

void ForwardingInstance::adopt_nothing()
{
    const Outcome outcome = stage_.call("adopt", [&](mp_error* error) {
        return vtable_.adopt(instance_, nullptr, 0, nullptr, nullptr, error);
    });
    if (!outcome.ok())
        stage_.give_up("adopt failed with no flows to take over: " + outcome.message);
}

std::vector<mp_status> ForwardingInstance::transact(const char* name,
                                                    std::span<const SampleFlow> flows,
                                                    const Transaction& transaction)
{
    const std::string label = std::string("the each of ") + name;
    LentArray<mp_status> each(label, flows.size());
    std::fill_n(each.data(), flows.size(), unset);
    std::vector<mp_flow> structs;
    for (const SampleFlow& flow : flows)
        structs.push_back(flow.abi());
    const LentFlows lent(structs);
    const Outcome outcome = stage_.call(name, [&](mp_error* error) {
        return transaction(lent.data(), static_cast<std::uint32_t>(flows.size()), each.data(),
                           error);
    });
    const auto statuses = each.take_back(stage_, label);
    if (!outcome.ok())
        reason_ = outcome.message;
    for (std::size_t i = 0; i < statuses.size(); ++i) {
        if (statuses[i] == unset)
            stage_.give_up(fmt::format("{} did not write each[{}] of {}", name, i, flows.size()));
        if (statuses[i] > MP_OK || statuses[i] < MP_E_AGAIN)
            stage_.give_up(
                fmt::format("{} set each[{}] to {}, which is no mp_status", name, i, statuses[i]));
    }
    return statuses;
}

std::vector<mp_status> ForwardingInstance::adopt(std::span<const SampleFlow> flows)
{
    LentArray<mp_flow_reading> so_far("the so_far of adopt", flows.size());
    for (std::size_t i = 0; i < flows.size(); ++i)
        so_far.data()[i] = nothing_of(flows[i].id);
    auto statuses = transact(
        "adopt", flows,
        [&](const mp_flow* const* lent, std::uint32_t count, mp_status* each, mp_error* error) {
            return vtable_.adopt(instance_, lent, count, each, so_far.data(), error);
        });
    const auto readings = so_far.take_back(stage_, "the so_far of adopt");
    for (std::size_t i = 0; i < flows.size(); ++i) {
        if (readings[i].id != flows[i].id)
            stage_.fault(fmt::format("adopt set so_far[{}] to that of another flow", i));
    }
    return statuses;
}

std::vector<mp_status> ForwardingInstance::install(std::span<const SampleFlow> flows)
{
    return transact(
        "install", flows,
        [&](const mp_flow* const* lent, std::uint32_t count, mp_status* each, mp_error* error) {
            return vtable_.install(instance_, lent, count, each, error);
        });
}

void ForwardingInstance::require_install(const SampleFlow& flow)
{
    const auto each = install(std::span(&flow, 1));
    if (each.front() != MP_OK)
        stage_.leave_out(
            fmt::format("install refused a flow with {}: {}", to_text(each.front()), reason_));
}

Outcome ForwardingInstance::replace(const mp_flow& flow, mp_flow_reading& until_now)
{
    LentArray<mp_flow_reading> reading("the until_now of replace", 1);
    reading.data()[0] = nothing_of(flow.id);
    const LentFlows lent(std::span(&flow, 1));
    const Outcome outcome = stage_.call("replace", [&](mp_error* error) {
        return vtable_.replace(instance_, lent.data()[0], reading.data(), error);
    });
    until_now = reading.take_back(stage_, "the until_now of replace").front();
    if (until_now.id != flow.id)
        stage_.fault("replace set until_now to that of another flow");
    return outcome;
}

Outcome ForwardingInstance::remove(std::span<const mp_flow_id> ids,
                                   std::vector<mp_flow_reading>& finals)
{
    LentArray<mp_flow_reading> readings("the finals of remove", ids.size());
    std::transform(ids.begin(), ids.end(), readings.data(), nothing_of);
    LentMemory memory("the ids of remove", ids.size_bytes());
    std::memcpy(memory.data(), ids.data(), ids.size_bytes());
    memory.protect();
    const Outcome outcome = stage_.call("remove", [&](mp_error* error) {
        return vtable_.remove(instance_, reinterpret_cast<const mp_flow_id*>(memory.data()),
                              static_cast<std::uint32_t>(ids.size()), readings.data(), error);
    });
    finals = readings.take_back(stage_, "the finals of remove");
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (finals[i].id != ids[i])
            stage_.fault(fmt::format("remove set finals[{}] to that of another flow", i));
    }
    return outcome;
}

mp_flow_reading ForwardingInstance::remove(mp_flow_id id)
{
    std::vector<mp_flow_reading> finals;
    const Outcome outcome = remove(std::span(&id, 1), finals);
    if (!outcome.ok())
        stage_.fault(fmt::format("remove of a flow that is there failed with {}: {}",
                                 to_text(outcome.status), outcome.message));
    return finals.front();
}

std::map<mp_flow_id, mp_flow_reading> ForwardingInstance::read()
{
    events_.expect(++last_request_);
    const Outcome outcome = stage_.call(
        "read", [&](mp_error* error) { return vtable_.read(instance_, last_request_, error); });
    if (!outcome.ok())
        stage_.give_up(
            fmt::format("read failed with {}: {}", to_text(outcome.status), outcome.message));
    if (!stage_.await([&] { return events_.answered(); }))
        stage_.give_up(fmt::format("read was not answered by a last piece within {} s",
                                   stage_.subject().patience.count() / 1000));
    return events_.readings();
}

} // namespace mediaproxy::conformance
