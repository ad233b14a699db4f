// SPDX-License-Identifier: GPL-2.0-or-later
#include "plugin/forwarding_backend.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "plugin/settings.hpp"

namespace mediaproxy::plugin
{

namespace
{

ReportQueue& reports_of(const mp_host* host) noexcept
{
    return *static_cast<ReportQueue*>(Host::attachment_of(host));
}

// Out of memory in a report ends the process rather than let an exception into the plugin.
void on_lost(const mp_host* host, mp_flow_id id, std::uint32_t reason) noexcept
{
    reports_of(host).lost(id, reason);
}

void on_stray(const mp_host* host, mp_flow_id id, std::uint32_t side, const mp_endpoint* from,
              const void* data, std::uint32_t size) noexcept
{
    reports_of(host).stray(id, side, *from, {static_cast<const std::byte*>(data), size});
}

void on_readings(const mp_host* host, std::uint64_t request, const mp_flow_reading* readings,
                 std::uint32_t count, std::uint32_t last) noexcept
{
    using Piece = ForwardingEvents::Piece;
    reports_of(host).readings(request, {readings, count}, last != 0 ? Piece::last : Piece::more);
}

constexpr mp_flow_events flow_events = {sizeof flow_events, 0, on_lost, on_stray, on_readings};

mp_flow_reading unknown_reading(mp_flow_id id)
{
    mp_flow_reading reading{};
    reading.id = id;
    reading.caller_seen_ms = reading.callee_seen_ms = -1;
    return reading;
}

} // namespace

ForwardingBackend::ForwardingBackend(asio::io_context& io, const PluginSource& source,
                                     Events& events)
    : reports_(std::make_shared<ReportQueue>(io, events)),
      host_(io, instance_name(Kind::forwarding, source), source.host, reports_.get())
{
}

Result<std::unique_ptr<ForwardingBackend>>
ForwardingBackend::load(asio::io_context& io, const PluginSource& source, Events& events)
{
    Result<Library> library = Library::open(source.dir, Kind::forwarding, source.name);
    if (!library)
        return std::move(library).error();
    const mp_plugin& plugin = library->plugin();
    return create(io, *std::move(library), plugin, source, events);
}

Result<std::unique_ptr<ForwardingBackend>> ForwardingBackend::create(asio::io_context& io,
                                                                     const mp_plugin& plugin,
                                                                     const PluginSource& source,
                                                                     Events& events)
{
    return create(io, std::nullopt, plugin, source, events);
}

Result<std::unique_ptr<ForwardingBackend>>
ForwardingBackend::create(asio::io_context& io, std::optional<Library> library,
                          const mp_plugin& plugin, const PluginSource& source, Events& events)
{
    const std::string instance = instance_name(Kind::forwarding, source);
    const auto settings = Settings::prepare(plugin, instance, source.settings, source.folder);
    if (!settings)
        return settings.error();
    const auto interface = find_interface(plugin, Kind::forwarding);
    if (!interface)
        return interface.error();

    std::unique_ptr<ForwardingBackend> backend(new ForwardingBackend(io, source, events));
    backend->library_ = std::move(library);
    const Outcome outcome =
        backend->start(*static_cast<const mp_forwarding*>(*interface), settings->abi());
    if (!outcome.ok())
        return to_error(instance, outcome);
    return backend;
}

Outcome ForwardingBackend::start(const mp_forwarding& vtable, std::span<const mp_setting> settings)
{
    Outcome outcome = enter_plugin([&](mp_error* error) {
        return vtable.create(host_.abi(), &flow_events, settings.data(),
                             static_cast<std::uint32_t>(settings.size()), &plugin_instance_, error);
    });
    if (!outcome.ok())
        return outcome;
    vtable_ = &vtable;
    // No flow outlives this process: what a dead predecessor left is removed.
    return enter_plugin([&](mp_error* error) {
        return vtable.adopt(plugin_instance_, nullptr, 0, nullptr, nullptr, error);
    });
}

ForwardingBackend::~ForwardingBackend()
{
    reports_->detach();
    if (vtable_ == nullptr)
        return;
    const Outcome outcome = enter_plugin([&](mp_error*) {
        vtable_->destroy(plugin_instance_, MP_DESTROY_REMOVE);
        return MP_OK;
    });
    if (!outcome.ok())
        host_.log(MP_LOG_ERROR, outcome.message);
}

bool ForwardingBackend::reads_sockets() const noexcept
{
    return (vtable_->flags & MP_FORWARDING_READS_SOCKETS) != 0;
}

bool ForwardingBackend::outlives_process() const noexcept
{
    return (vtable_->flags & MP_FORWARDING_OUTLIVES_PROCESS) != 0;
}

void ForwardingBackend::install(std::span<const mp_flow* const> flows, std::span<mp_status> each,
                                std::string* why)
{
    assert(flows.size() == each.size());
    std::fill(each.begin(), each.end(), MP_E_FAILED);
    Outcome outcome = enter_plugin([&](mp_error* error) {
        return vtable_->install(plugin_instance_, flows.data(),
                                static_cast<std::uint32_t>(flows.size()), each.data(), error);
    });
    if (!outcome.ok() && why != nullptr)
        *why = std::move(outcome.message);
}

Result<void> ForwardingBackend::replace(const mp_flow& flow, mp_flow_reading& until_now)
{
    until_now = unknown_reading(flow.id);
    const Outcome outcome = enter_plugin([&](mp_error* error) {
        return vtable_->replace(plugin_instance_, &flow, &until_now, error);
    });
    if (!outcome.ok())
        return to_error(instance(), outcome);
    return {};
}

void ForwardingBackend::remove(std::span<const mp_flow_id> ids, std::span<mp_flow_reading> finals)
{
    assert(ids.size() == finals.size());
    std::transform(ids.begin(), ids.end(), finals.begin(), unknown_reading);
    const Outcome outcome = enter_plugin([&](mp_error* error) {
        return vtable_->remove(plugin_instance_, ids.data(), static_cast<std::uint32_t>(ids.size()),
                               finals.data(), error);
    });
    if (!outcome.ok())
        host_.log(MP_LOG_WARNING, "remove: " + outcome.message);
}

Result<void> ForwardingBackend::read(std::uint64_t request)
{
    const Outcome outcome = enter_plugin(
        [&](mp_error* error) { return vtable_->read(plugin_instance_, request, error); });
    if (!outcome.ok())
        return to_error(instance(), outcome);
    return {};
}

} // namespace mediaproxy::plugin
