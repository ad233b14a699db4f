// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/state_store.hpp"
#include "plugin/source.hpp"
#include "protocol/command.hpp"
#include "protocol/reply.hpp"
#include "protocol/session_report.hpp"
#include "relay/options.hpp"
#include "session/session_table.hpp"
#include "tls/context.hpp"

namespace mediaproxy::relay
{

/// The relay role: sessions, sockets, packets, links to its dispatchers. [core thread]
class Relay
{
public:
    struct Environment {
        asio::io_context& io;
        std::shared_ptr<tls::Context> tls; ///< null without dispatchers on the network
        /// Back ends in the order in which they are tried; none: every packet on the slow path.
        std::vector<plugin::PluginSource> forwarding;
        session::FlowId first_flow_id = 1;            ///< unique over restarts
        std::string record_id_prefix;                 ///< unique over restarts
        std::vector<net::Endpoint> control_addresses; ///< media is never sent there
        std::string version;                          ///< the daemon's
        StateStore* store = nullptr; ///< calls and reports over a kill -9; null: none are kept
        std::string name_servers;    ///< instead of those of resolv.conf, see Resolver
        /// A back end by its plugin's name, whether `forwarding` has it or not: to clear away what
        /// it left in the kernel when an earlier run was killed. Empty: nothing is cleared away.
        std::function<plugin::PluginSource(const std::string& plugin)> find_forwarding;
    };
    /// Binds nothing but checks what it can: relay_ip, port range, descriptors. Logs how many
    /// streams the range and RLIMIT_NOFILE allow.
    static Result<std::unique_ptr<Relay>> create(Options options, Environment environment);
    ~Relay();

    /// Connects to the dispatchers of the configuration.
    void start();

    /// A dispatcher in the same process (app/local_link): what a link over TLS does, as calls.
    session::OwnerId
    add_local_owner(std::string name,
                    std::function<void(const protocol::SessionReport&)> on_expired);
    /// Tells it of the sessions that an earlier run has left for it.
    void tell_local_owner(session::OwnerId id);
    /// Tells it again of the sessions that ended and that it has not acknowledged; of some of them,
    /// of the others when it has acknowledged these.
    void tell_local_owner_again(session::OwnerId id);
    /// The records of these sessions are durable at that owner's, ended by themselves or removed.
    void acknowledge(session::OwnerId owner, const std::vector<std::string>& record_ids);
    /// unavailable = `halting`: draining and the session is not known.
    Result<protocol::Ports> update(const protocol::Update& update, session::OwnerId owner);
    Result<protocol::SessionReport> remove(const protocol::Remove& remove);
    protocol::RelaySummary summary() const;
    /// See SessionTable::list.
    std::uint64_t
    list(std::uint64_t after, std::size_t most,
         const std::function<void(session::OwnerId, const protocol::SessionReport&)>& each) const;
    /// Calls `done` when the fast path's counters are as of now: at once when nothing is on it, at
    /// the latest after 100 ms. For whoever list()s.
    void refresh(std::function<void()> done);
    std::size_t session_count() const noexcept;

    /// The addresses that media is bound to or advertised as: what `media_relay` may name.
    std::vector<net::Address> media_addresses() const;
    const std::string& name() const noexcept;

    /// Refuses new sessions; `drained` is called once, when the last one is gone.
    void drain(std::function<void()> drained);
    /// Ends every session, reports each as expired, lets the links send it (at most a second), then
    /// calls `stopped`.
    void stop(std::function<void()> stopped);

private:
    class State;
    explicit Relay(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

} // namespace mediaproxy::relay
