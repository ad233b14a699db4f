// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "environment.hpp"
#include "firewall.hpp"
#include "flow_table.hpp"
#include "host_link.hpp"
#include "layout.hpp"
#include "map_dump.hpp"
#include "map_writer.hpp"
#include "routes.hpp"
#include "ruleset.hpp"
#include "support/failure.hpp"
#include "support/ration.hpp"

namespace forwarding_nftables
{

/// One instance of the back end. It knows what shall be forwarded (FlowTable), writes that into the
/// kernel's maps at once, and with every read() looks whether it is all still there. [core-thread]
class Backend
{
public:
    /// Null, a status and a sentence when this host cannot do it or does not let us. Nothing is
    /// forwarded and no table made before adopt().
    static std::unique_ptr<Backend> create(HostLink host, const Settings& settings,
                                           mp_status& status, mp_error& error);
    ~Backend();
    Backend(const Backend&) = delete;
    Backend& operator=(const Backend&) = delete;

    mp_status adopt(std::span<const mp_flow* const> flows, mp_status* each, mp_flow_reading* so_far,
                    mp_error& error);
    mp_status install(std::span<const mp_flow* const> flows, mp_status* each, mp_error& error);
    mp_status replace(const mp_flow& flow, mp_flow_reading& until_now, mp_error& error);
    mp_status remove(std::span<const mp_flow_id> ids, mp_flow_reading* finals, mp_error& error);
    void read(std::uint64_t request);
    /// Takes tables and sysctls back; without it they stay as they are.
    void clean_up();

private:
    using NetlinkSocket = mediaproxy::plugin_support::NetlinkSocket;
    using NftBatch = mediaproxy::plugin_support::NftBatch;

    Backend(HostLink host, const Settings& settings, std::unique_ptr<NetlinkSocket> socket);
    mp_status start(mp_error& error);
    mp_status watch(int fd, void (*call)(void*, std::uint32_t), mp_error& error);

    /// What the host's loop calls; no exception goes back into it.
    template <void (Backend::*Method)()>
    static void run(void* self) noexcept
    {
        auto& backend = *static_cast<Backend*>(self);
        mp_error error{};
        const auto call = [&]() -> mp_status {
            (backend.*Method)();
            return MP_OK;
        };
        if (mediaproxy::plugin_support::guarded(&error, MP_E_FAILED, call) != MP_OK)
            backend.host_.log(MP_LOG_ERROR, error.message);
    }
    template <void (Backend::*Method)()>
    static void on_event(void* self, std::uint32_t) noexcept
    {
        run<Method>(self);
    }

    // backend.cpp: what the host asks for
    std::unique_ptr<Flow> prepare(const mp_flow& wanted, mp_status& status, mp_error& error);
    mp_status explain(const Flow& flow, int problem, mp_error& error) const;
    mp_status refuse_all(std::size_t count, mp_status* each, mp_status status) const;
    void take_over(std::span<const mp_flow* const> flows, mp_status* each, mp_flow_reading* so_far,
                   mp_error& error);

    // upkeep.cpp: what keeps it right
    void look_after_host();
    bool others_changed_rules();
    bool is_damaged();
    void rebuild();
    void count_once_more();
    void check_firewall();
    void set_obstacle(Family family, const std::string& sentence);
    void report_lost(Flow& flow, std::uint32_t reason);
    std::vector<MapPlace> maps_in_use() const;
    void start_dump();
    void on_dump();
    void on_element(const FlowTable::Place& place, std::span<const std::byte> data,
                    const mp_traffic& counted);
    void finish_dump();
    void on_routes();
    enum class Chore { reroute, mend };
    void add_chore(Flow& flow, Chore chore);
    void do_chores();
    void mend(std::span<const FlowTable::Place> ways);
    void reroute(Flow& flow);
    const std::string& obstacle(Family family) const
    {
        return obstacles_[static_cast<std::size_t>(family)];
    }

    HostLink host_;
    Layout layout_;
    FlowTable flows_;
    std::unique_ptr<NetlinkSocket> socket_;
    NftBatch batch_;
    Ruleset ruleset_;
    MapWriter writer_;
    Firewall firewall_;
    Environment environment_;
    std::unique_ptr<Routes> routes_; ///< on devices only
    std::unique_ptr<MapDump> dump_;
    std::vector<std::uint32_t> watches_;
    bool built_ = false;
    bool look_again_ = false; ///< at the ruleset: its condition is unknown

    std::array<std::string, 2> obstacles_; ///< by family: why nothing may be forwarded now
    std::uint32_t generation_ = 0;         ///< of the ruleset when it was last looked at
    std::uint32_t commits_ = 0;            ///< of ours, then
    bool firewall_changed_ = false;
    mediaproxy::plugin_support::Ration firewall_looks_;

    std::uint64_t round_ = 0; ///< number of the newest dump
    bool dumping_ = false;
    std::vector<std::uint64_t> asked_;     ///< requests that the next dump answers
    std::vector<std::uint64_t> answering_; ///< that the present one answers
    std::deque<mp_flow_id> chores_;        ///< flows to be looked after in a later turn of the loop
    bool chores_posted_ = false;
};

} // namespace forwarding_nftables
