// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <mediaproxy/forwarding.h>

#include "base/result.hpp"
#include "plugin/boundary.hpp"
#include "plugin/host.hpp"
#include "plugin/library.hpp"
#include "plugin/report_queue.hpp"

namespace mediaproxy::plugin
{

/// One instance of a forwarding plugin. Its destruction removes every flow. [core thread]
class ForwardingBackend
{
public:
    using Events = ForwardingEvents;

    /// Loads the plugin and makes its instance; it probes the kernel and may block. `events` is
    /// borrowed and called on the core thread, never from inside a call of this class.
    static Result<std::unique_ptr<ForwardingBackend>>
    load(asio::io_context& io, const PluginSource& source, Events& events);
    /// The same with a plugin that is linked in.
    static Result<std::unique_ptr<ForwardingBackend>> create(asio::io_context& io,
                                                             const mp_plugin& plugin,
                                                             const PluginSource& source,
                                                             Events& events);
    ~ForwardingBackend();
    ForwardingBackend(const ForwardingBackend&) = delete;
    ForwardingBackend& operator=(const ForwardingBackend&) = delete;

    const std::string& instance() const noexcept { return host_.instance(); }
    /// The host must stop reading a flow's sockets while it is installed.
    bool reads_sockets() const noexcept;
    /// What it has installed goes on forwarding when this process is killed.
    bool outlives_process() const noexcept;
    /// Strays that came faster than the core thread took them.
    std::uint64_t strays_dropped() const { return reports_->strays_dropped(); }

    /// each[i] is MP_OK or why the host goes on relaying flow i; `why`, if given, is set to the
    /// plugin's sentence when the call failed. Spans are equally long.
    void install(std::span<const mp_flow* const> flows, std::span<mp_status> each,
                 std::string* why = nullptr);
    /// The flow's endpoints moved. On failure the flow is as it was.
    Result<void> replace(const mp_flow& flow, mp_flow_reading& until_now);
    /// The flows are gone, whatever the plugin says; finals[i] has what they carried, zeros when
    /// the plugin cannot tell. Spans are equally long.
    void remove(std::span<const mp_flow_id> ids, std::span<mp_flow_reading> finals);
    /// All flows' readings, answered by Events::on_readings with `request`.
    Result<void> read(std::uint64_t request);

private:
    ForwardingBackend(asio::io_context& io, const PluginSource& source, Events& events);
    static Result<std::unique_ptr<ForwardingBackend>>
    create(asio::io_context& io, std::optional<Library> library, const mp_plugin& plugin,
           const PluginSource& source, Events& events);
    Outcome start(const mp_forwarding& vtable, std::span<const mp_setting> settings);

    std::optional<Library> library_;       // first: unloaded last
    std::shared_ptr<ReportQueue> reports_; ///< shared with what it posted
    Host host_;
    const mp_forwarding* vtable_ = nullptr;
    void* plugin_instance_ = nullptr;
};

} // namespace mediaproxy::plugin
