// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/plugin_flows.hpp"

#include <algorithm>
#include <array>

namespace mediaproxy::relay
{

namespace
{

net::Endpoint to_endpoint(const mp_endpoint& endpoint)
{
    std::array<std::uint8_t, 16> v6{};
    std::copy_n(endpoint.address, v6.size(), v6.begin());
    if (endpoint.family == 6)
        return {net::Address::v6(v6), endpoint.port};
    if (endpoint.family == 4)
        return {net::Address::v4({v6[0], v6[1], v6[2], v6[3]}), endpoint.port};
    return {};
}

} // namespace

Result<std::unique_ptr<PluginFlows>>
PluginFlows::load(asio::io_context& io, const plugin::PluginSource& source, FlowEvents& events)
{
    std::unique_ptr<PluginFlows> flows(new PluginFlows(events));
    auto backend = plugin::ForwardingBackend::load(io, source, *flows);
    if (!backend)
        return std::move(backend).error();
    flows->backend_ = *std::move(backend);
    const std::string& instance = flows->backend_->instance(); // forwarding.NAME
    flows->name_ = instance.substr(instance.find('.') + 1);
    return flows;
}

void PluginFlows::install(std::span<const mp_flow* const> flows, std::span<mp_status> each,
                          std::string& why)
{
    backend_->install(flows, each, &why);
}

void PluginFlows::remove(std::span<const mp_flow_id> ids, std::span<mp_flow_reading> finals)
{
    backend_->remove(ids, finals);
}

void PluginFlows::on_lost(mp_flow_id id, std::uint32_t reason)
{
    events_.on_lost(id, reason);
}

void PluginFlows::on_stray(mp_flow_id id, std::uint32_t side, const mp_endpoint& from,
                           std::span<const std::byte> packet)
{
    const net::Endpoint source = to_endpoint(from);
    if (source)
        events_.on_stray(id,
                         side == MP_SIDE_CALLER ? session::Party::caller : session::Party::callee,
                         source, packet);
}

void PluginFlows::on_readings(std::uint64_t request, std::span<const mp_flow_reading> readings,
                              Piece piece)
{
    events_.on_readings(request, readings,
                        piece == Piece::last ? FlowEvents::Piece::last
                                             : FlowEvents::Piece::more_to_come);
}

} // namespace mediaproxy::relay
