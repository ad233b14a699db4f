// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <memory>

#include "plugin/forwarding_backend.hpp"
#include "plugin/source.hpp"
#include "relay/flow_backend.hpp"

namespace mediaproxy::relay
{

/// A forwarding plugin as the forwarder's back end. [core thread]
class PluginFlows final : public FlowBackend, private plugin::ForwardingEvents
{
public:
    /// `events` outlives the result.
    static Result<std::unique_ptr<PluginFlows>>
    load(asio::io_context& io, const plugin::PluginSource& source, FlowEvents& events);

    bool outlives_process() const noexcept { return backend_->outlives_process(); }
    std::string_view name() const noexcept override { return name_; }
    bool reads_sockets() const noexcept override { return backend_->reads_sockets(); }
    void install(std::span<const mp_flow* const> flows, std::span<mp_status> each,
                 std::string& why) override;
    void remove(std::span<const mp_flow_id> ids, std::span<mp_flow_reading> finals) override;
    Result<void> read(std::uint64_t request) override { return backend_->read(request); }

private:
    explicit PluginFlows(FlowEvents& events) : events_(events) {}
    void on_lost(mp_flow_id id, std::uint32_t reason) override;
    void on_stray(mp_flow_id id, std::uint32_t side, const mp_endpoint& from,
                  std::span<const std::byte> packet) override;
    void on_readings(std::uint64_t request, std::span<const mp_flow_reading> readings,
                     Piece piece) override;

    FlowEvents& events_;
    std::string name_;
    std::unique_ptr<plugin::ForwardingBackend> backend_;
};

} // namespace mediaproxy::relay
