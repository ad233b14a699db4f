// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include <mediaproxy/forwarding.h>

#include "conformance/guest.hpp"
#include "conformance/sample_flow.hpp"
#include "conformance/stage.hpp"

namespace mediaproxy::conformance
{

/// What a forwarding plugin reported, from any thread.
class FlowEvents
{
public:
    struct Stray {
        mp_flow_id id;
        std::uint32_t side;
        mp_endpoint from;
        std::string packet;
    };
    explicit FlowEvents(Stage& stage);

    const mp_flow_events* abi() const noexcept;
    std::vector<Stray> strays() const;
    std::size_t lost() const;
    /// The answer to the request that was expected last.
    std::map<mp_flow_id, mp_flow_reading> readings() const;
    bool answered() const;
    void expect(std::uint64_t request);

private:
    static FlowEvents& of(const mp_host* host);
    static void on_lost(const mp_host* host, mp_flow_id id, std::uint32_t reason) noexcept;
    static void on_stray(const mp_host* host, mp_flow_id id, std::uint32_t side,
                         const mp_endpoint* from, const void* data, std::uint32_t size) noexcept;
    static void on_readings(const mp_host* host, std::uint64_t request,
                            const mp_flow_reading* readings, std::uint32_t count,
                            std::uint32_t last) noexcept;
    void take(const mp_flow_reading& reading);

    Stage& stage_;
    LentMemory memory_;
    mutable std::mutex mutex_; ///< for all below
    std::vector<Stray> strays_;
    std::size_t lost_ = 0;
    std::uint64_t request_ = 0;
    bool answered_ = false;
    std::map<mp_flow_id, mp_flow_reading> readings_;
};

/// An instance of the forwarding plugin. Destroyed with its flows, if it was made, when this object
/// ends. [core thread]
class ForwardingInstance
{
public:
    /// With the subject's settings. When the plugin refuses because this host cannot do it or may
    /// not, the check is left out; other refusals are faults.
    explicit ForwardingInstance(const Guest& guest, const char* owner = "check-plugin");
    ForwardingInstance(const Guest& guest, std::span<const mp_setting> settings);
    ~ForwardingInstance();
    ForwardingInstance(const ForwardingInstance&) = delete;
    ForwardingInstance& operator=(const ForwardingInstance&) = delete;

    const Outcome& created() const noexcept { return created_; }
    bool has_flag(std::uint32_t flag) const noexcept { return (vtable_.flags & flag) != 0; }
    const FlowEvents& events() const noexcept { return events_; }

    /// As the daemon does at its start: nothing to take over.
    void adopt_nothing();
    /// What the plugin says of each; that it says it of each is looked at.
    std::vector<mp_status> adopt(std::span<const SampleFlow> flows);
    std::vector<mp_status> install(std::span<const SampleFlow> flows);
    /// Leaves the check out, with the plugin's reason, when it is not installed.
    void require_install(const SampleFlow& flow);
    Outcome replace(const mp_flow& flow, mp_flow_reading& until_now);
    Outcome remove(std::span<const mp_flow_id> ids, std::vector<mp_flow_reading>& finals);
    mp_flow_reading remove(mp_flow_id id);
    /// Waits for the answer.
    std::map<mp_flow_id, mp_flow_reading> read();
    void destroy(std::uint32_t mode);

private:
    using Transaction = std::function<mp_status(const mp_flow* const* flows, std::uint32_t count,
                                                mp_status* each, mp_error* error)>;
    void create(std::span<const mp_setting> settings);
    std::vector<mp_status> transact(const char* name, std::span<const SampleFlow> flows,
                                    const Transaction& transaction);

    Stage& stage_;
    const mp_forwarding& vtable_;
    FlowEvents events_;
    WitnessHost host_;
    void* instance_ = nullptr;
    Outcome created_;
    bool alive_ = false;
    std::string reason_; ///< of the last transaction that failed
    std::uint64_t last_request_ = 0;
};

} // namespace mediaproxy::conformance
