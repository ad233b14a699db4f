// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <vector>

#include "relay/call_saver.hpp"
#include "relay/call_store.hpp"
#include "relay/dispatcher_link.hpp"
#include "relay/dispatcher_locator.hpp"
#include "relay/forwarder.hpp"
#include "relay/media_poller.hpp"
#include "relay/owners.hpp"
#include "relay/packet_path.hpp"
#include "relay/port_pool.hpp"
#include "relay/relay.hpp"
#include "relay/relay_requests.hpp"
#include "session/session_table.hpp"

namespace mediaproxy::relay
{

/// The parts of the relay and what goes on between them. Members stand in the order in which they
/// need each other; their destruction is the shutdown.
class Relay::State final : public RelayRequests
{
public:
    using OnExpired = std::function<void(const protocol::SessionReport&)>;

    /// What create() found out about this host.
    struct Ground {
        LocalAddresses addresses;
        std::size_t media_sockets = 0;
        Seconds idle_timeout{120};
    };
    State(Options options, Environment environment, Ground ground);
    ~State() override;

    /// Opens what needs the system; without the forwarding plugin, if need be.
    Result<void> open();
    void start();
    session::OwnerId add_local_owner(std::string name, OnExpired on_expired);
    void tell_local_owner(session::OwnerId id, std::size_t window = SIZE_MAX);
    void tell_local_owner_again(session::OwnerId id);
    void acknowledge(session::OwnerId owner, const std::vector<std::string>& record_ids);
    void drain(std::function<void()> drained);
    void stop(std::function<void()> stopped);

    Result<protocol::Ports> update(const protocol::Update& update, session::OwnerId owner) override;
    Result<Removed> remove(const protocol::Remove& remove) override;
    void on_letters() override { saver_.look(); }
    protocol::RelaySummary summary() const override;
    std::uint64_t list(std::uint64_t after, std::size_t most,
                       const EachReport& each) const override;
    void refresh(std::function<void()> done) override { forwarder_.refresh(std::move(done)); }
    std::string hello() const override;

    std::size_t session_count() const noexcept { return table_.session_count(); }
    std::vector<net::Address> media_addresses() const;
    const std::string& name() const noexcept { return options_.name; }

private:
    struct LinkEntry {
        DispatcherTarget target;
        std::unique_ptr<DispatcherLink> link;
        bool retired = false; ///< no longer in the configuration's answer; goes with its sessions
    };

    void load_forwarding();
    void remove_leftovers(const std::string& plugin);
    void on_targets(const std::vector<DispatcherTarget>& targets);
    void drop_retired();
    bool may_go(const LinkEntry& entry);
    void tick_later();
    void tick();
    void tick_soon();
    void sample_later();
    void deliver(std::vector<session::Expired> expired);
    void after_session_end();
    void wait_until_told(TimePoint patience);

    Options options_;
    Environment environment_;
    const Now started_;
    CallStore calls_;
    std::string instance_;
    Owners owners_;
    std::map<session::OwnerId, OnExpired> local_owners_;
    MediaPoller poller_;
    PortPool ports_;
    Forwarder forwarder_;
    session::SessionTable table_;
    CallSaver saver_;
    PacketPath path_;
    std::vector<LinkEntry> links_;
    std::unique_ptr<DispatcherLocator> locator_;
    asio::steady_timer tick_timer_, sample_timer_, stop_timer_;
    bool ticking_ = false;
    std::uint64_t sampled_bytes_ = 0;
    double bps_ = 0;
    bool halting_ = false;
    std::function<void()> drained_, stopped_;
    std::shared_ptr<bool> alive_;
};

} // namespace mediaproxy::relay
