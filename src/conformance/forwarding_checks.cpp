// SPDX-License-Identifier: GPL-2.0-or-later
#include <array>
#include <fmt/format.h>
#include <optional>
#include <string>

#include "conformance/checks.hpp"
#include "conformance/forwarding_instance.hpp"
#include "conformance/guest.hpp"

namespace mediaproxy::conformance
{

namespace
{

constexpr std::uint64_t headers = 20 + 8; ///< IPv4 and UDP

/// Such that the plugin can forward them: the kernel does not route loopback addresses.
std::vector<SampleFlow> make_flows(const Guest& guest, std::size_t count)
{
    const bool reads_sockets = (guest.forwarding().flags & MP_FORWARDING_READS_SOCKETS) != 0;
    const Place place = reads_sockets ? Place::loopback : find_place();
    std::vector<SampleFlow> flows;
    for (std::size_t i = 0; i < count; ++i) {
        auto flow = SampleFlow::make(i + 1, place);
        if (!flow)
            guest.stage().leave_out(flow.error().message);
        flows.push_back(*std::move(flow));
    }
    return flows;
}

SampleFlow make_flow(const Guest& guest)
{
    return std::move(make_flows(guest, 1).front());
}

void is_created_and_destroyed(Stage& stage)
{
    const Guest guest(stage);
    stage.situation("instances were made and destroyed without flows");
    for (int i = 0; i < 3; ++i) {
        ForwardingInstance instance(guest);
        if (i > 0)
            instance.adopt_nothing();
    }
}

void copes_with_settings(Stage& stage)
{
    const Guest guest(stage);
    stage.situation("create got no settings");
    ForwardingInstance(guest, std::span<const mp_setting>()).destroy(MP_DESTROY_REMOVE);
    for_each_odd_setting(stage, guest.plugin(),
                         [&](std::span<const mp_setting> settings, std::string_view) {
                             const ForwardingInstance instance(guest, settings);
                         });
}

void reads_without_flows(Stage& stage)
{
    const Guest guest(stage);
    ForwardingInstance instance(guest);
    instance.adopt_nothing();
    stage.situation("there were no flows to read");
    for (const auto& [id, reading] : instance.read())
        stage.fault(fmt::format("answered a read with flow {}, which there is not", id));
}

void require_sockets(Stage& stage, const SampleFlow& flow)
{
    if (!flow.caller_local.is_open() || !flow.callee_local.is_open())
        stage.give_up("closed a socket of a flow, which is the host's");
}

void walks_through_a_flow(Stage& stage)
{
    const Guest guest(stage);
    const SampleFlow flow = make_flow(guest);
    ForwardingInstance instance(guest);
    instance.adopt_nothing();
    stage.situation("a flow was installed");
    instance.require_install(flow);
    stage.situation("a flow was read");
    const auto readings = instance.read();
    if (readings.size() != 1 || !readings.contains(flow.id))
        stage.fault(fmt::format("answered a read of one flow with {} flows", readings.size()));
    stage.situation("a flow was replaced by one with another callee");
    const SampleFlow other = make_flow(guest);
    mp_flow moved = flow.abi();
    moved.callee_remote = other.callee.endpoint();
    mp_flow_reading until_now{};
    const Outcome replaced = instance.replace(moved, until_now);
    if (!replaced.ok())
        stage.fault(
            fmt::format("replace failed with {}: {}", to_text(replaced.status), replaced.message));
    stage.situation("a flow was removed");
    const mp_flow_reading final = instance.remove(flow.id);
    if (final.from_caller.packets != 0 || final.from_callee.packets != 0)
        stage.fault("counted packets of a flow that had none");
    if (!instance.read().empty())
        stage.fault("answered a read with a flow that was removed");
    require_sockets(stage, flow);
}

void send_and_expect(Stage& stage, const UdpSocket& from, const UdpSocket& to,
                     const UdpSocket& arrives, const UdpSocket& source, int count)
{
    for (int i = 0; i < count; ++i) {
        const std::string packet = fmt::format("packet {} of {}", i, count);
        from.send_to(to, packet);
        mp_endpoint seen{};
        std::optional<std::string> arrived;
        stage.await([&] { return (arrived = arrives.receive(&seen)).has_value(); });
        if (arrived != packet)
            stage.give_up("a packet of an installed flow was not forwarded as it was");
        if (!same(seen, source.endpoint()))
            stage.give_up("a packet of an installed flow was not sent from the flow's own socket");
    }
}

void expect_traffic(Stage& stage, std::string_view what, const mp_traffic& traffic, int count)
{
    // "packet N of M", with N and M of one digit.
    const auto packets = static_cast<std::uint64_t>(count);
    const std::uint64_t bytes = packets * (headers + std::string_view("packet 0 of 3").size());
    if (traffic.packets != packets || traffic.bytes != bytes)
        stage.fault(fmt::format("{} says {} packets and {} bytes, where there were {} and {}, IP "
                                "and UDP headers included",
                                what, traffic.packets, traffic.bytes, packets, bytes));
}

void forwards_and_counts(Stage& stage)
{
    const Guest guest(stage);
    const SampleFlow flow = make_flow(guest);
    ForwardingInstance instance(guest);
    instance.adopt_nothing();
    if (!instance.has_flag(MP_FORWARDING_READS_SOCKETS))
        stage.leave_out("it does not forward packets itself");
    instance.require_install(flow);
    stage.situation("packets were sent through a flow");
    send_and_expect(stage, flow.caller, flow.caller_local, flow.callee, flow.callee_local, 3);
    send_and_expect(stage, flow.callee, flow.callee_local, flow.caller, flow.caller_local, 5);
    const auto readings = instance.read();
    if (!readings.contains(flow.id))
        stage.give_up("answered a read without a flow that is installed");
    expect_traffic(stage, "read", readings.at(flow.id).from_caller, 3);
    expect_traffic(stage, "read", readings.at(flow.id).from_callee, 5);

    stage.situation("the callee of a flow had moved");
    const SampleFlow other = make_flow(guest);
    mp_flow moved = flow.abi();
    moved.callee_remote = other.callee.endpoint();
    mp_flow_reading until_now{};
    const Outcome replaced = instance.replace(moved, until_now);
    if (!replaced.ok())
        stage.give_up("replace failed: " + replaced.message);
    expect_traffic(stage, "until_now of replace", until_now.from_caller, 3);
    send_and_expect(stage, flow.caller, flow.caller_local, other.callee, flow.callee_local, 3);
    const mp_flow_reading final = instance.remove(flow.id);
    expect_traffic(stage, "finals of remove", final.from_caller, 6);
    expect_traffic(stage, "finals of remove", final.from_callee, 5);
}

void hands_strangers_back(Stage& stage)
{
    const Guest guest(stage);
    const auto flows = make_flows(guest, 2);
    const SampleFlow& flow = flows[0];
    ForwardingInstance instance(guest);
    instance.adopt_nothing();
    if (!instance.has_flag(MP_FORWARDING_READS_SOCKETS))
        stage.leave_out("it does not read sockets: strangers reach the host by themselves");
    instance.require_install(flow);
    stage.situation("a stranger sent a packet to a flow");
    const UdpSocket& stranger = flows[1].caller;
    stranger.send_to(flow.callee_local, "who is there");
    mp_endpoint seen{};
    if (!stage.await([&] {
            if (flow.caller.receive(&seen))
                stage.give_up("forwarded a packet of a stranger");
            return !instance.events().strays().empty();
        }))
        stage.give_up("a packet of a stranger was not handed back by the event stray");
    const FlowEvents::Stray stray = instance.events().strays().front();
    if (stray.id != flow.id || stray.side != MP_SIDE_CALLEE || stray.packet != "who is there" ||
        !same(stray.from, stranger.endpoint()))
        stage.fault(
            "handed a packet of a stranger back with another flow, side, source or content");
    const mp_flow_reading final = instance.remove(flow.id);
    if (final.from_callee.packets != 0)
        stage.fault("counted the packet of a stranger");
}

void installs_a_batch(Stage& stage)
{
    const Guest guest(stage);
    const auto flows = make_flows(guest, 50);
    ForwardingInstance instance(guest);
    instance.adopt_nothing();
    stage.situation("50 flows were installed");
    const auto each = instance.install(flows);
    std::vector<mp_flow_id> ids;
    for (std::size_t i = 0; i < flows.size(); ++i) {
        if (each[i] == MP_OK)
            ids.push_back(flows[i].id);
    }
    const auto readings = instance.read();
    if (readings.size() != ids.size())
        stage.fault(fmt::format("installed {} flows and answered a read with {}", ids.size(),
                                readings.size()));
    if (ids.empty())
        return;
    stage.situation("50 flows were removed");
    std::vector<mp_flow_reading> finals;
    const Outcome removed = instance.remove(ids, finals);
    if (!removed.ok())
        stage.fault("remove failed: " + removed.message);
    if (!instance.read().empty())
        stage.fault("answered a read with flows that were removed");
}

void copes_with_unknown_flows(Stage& stage)
{
    const Guest guest(stage);
    const SampleFlow flow = make_flow(guest);
    ForwardingInstance instance(guest);
    instance.adopt_nothing();
    stage.situation("a flow was removed that is not installed");
    std::vector<mp_flow_reading> finals;
    instance.remove(std::array<mp_flow_id, 3>{77, 0, ~mp_flow_id{0}}, finals);
    for (const mp_flow_reading& final : finals) {
        if (final.from_caller.packets != 0 || final.from_callee.packets != 0)
            stage.fault("remove counted packets of a flow that it does not know");
    }
    stage.situation("a flow was replaced that is not installed");
    mp_flow_reading until_now{};
    if (instance.replace(flow.abi(), until_now).ok())
        stage.fault("replace of a flow that is not installed returned MP_OK");
}

void adopts_nothing_that_is_not_there(Stage& stage)
{
    const Guest guest(stage);
    const auto flows = make_flows(guest, 2);
    ForwardingInstance instance(guest);
    stage.situation("flows were to be adopted that nobody had installed");
    const auto each = instance.adopt(flows);
    for (std::size_t i = 0; i < each.size(); ++i) {
        if (each[i] == MP_OK)
            stage.fault("adopt took over a flow that no predecessor had installed");
    }
}

void leaves_flows_to_a_successor(Stage& stage)
{
    const Guest guest(stage);
    const SampleFlow flow = make_flow(guest);
    ForwardingInstance instance(guest);
    instance.adopt_nothing();
    if (!instance.has_flag(MP_FORWARDING_OUTLIVES_PROCESS))
        stage.leave_out("its flows do not outlive the process");
    instance.require_install(flow);
    stage.situation("an instance was destroyed with MP_DESTROY_LEAVE");
    instance.destroy(MP_DESTROY_LEAVE);
    stage.situation("a flow of a predecessor was adopted");
    ForwardingInstance successor(guest);
    const auto each = successor.adopt(std::span(&flow, 1));
    if (each.front() == MP_OK && !successor.read().contains(flow.id))
        stage.fault("adopted a flow and answered a read without it");
    if (each.front() == MP_OK)
        successor.remove(flow.id);
}

void works_beside_another(Stage& stage)
{
    const Guest guest(stage);
    const auto flows = make_flows(guest, 2);
    ForwardingInstance first(guest, "check-plugin a"), second(guest, "check-plugin b");
    first.adopt_nothing();
    second.adopt_nothing();
    stage.situation("two instances of two owners had a flow each");
    first.require_install(flows[0]);
    second.require_install(flows[1]);
    stage.situation("one of two instances was destroyed");
    first.destroy(MP_DESTROY_REMOVE);
    const auto readings = second.read();
    if (readings.size() != 1 || !readings.contains(flows[1].id))
        stage.fault("lost the flow of another instance with its own");
    second.remove(flows[1].id);
}

void leaves_nothing_behind(Stage& stage)
{
    const Guest guest(stage);
    const auto flows = make_flows(guest, 3);
    stage.situation("instances were made, used and destroyed with their flows");
    look_for_leftovers(stage, [&] {
        ForwardingInstance instance(guest);
        instance.adopt_nothing();
        instance.install(flows);
        instance.read();
    });
    for (const SampleFlow& flow : flows)
        require_sockets(stage, flow);
}

} // namespace

std::vector<Check> forwarding_checks()
{
    return {
        {"an instance is created and destroyed", is_created_and_destroyed, true},
        {"create copes with any settings", copes_with_settings},
        {"read is answered without flows", reads_without_flows, true},
        {"a flow is installed, read, replaced and removed", walks_through_a_flow},
        {"packets are forwarded and counted", forwards_and_counts},
        {"packets of strangers are handed back", hands_strangers_back},
        {"50 flows are installed and removed at once", installs_a_batch},
        {"unknown flows are refused", copes_with_unknown_flows},
        {"adopt takes over nothing that is not there", adopts_nothing_that_is_not_there},
        {"flows are left to a successor", leaves_flows_to_a_successor},
        {"two instances work at once", works_beside_another},
        {"destroy leaves nothing behind", leaves_nothing_behind},
    };
}

} // namespace mediaproxy::conformance
