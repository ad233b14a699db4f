// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/state_store.hpp"
#include "dispatcher/options.hpp"
#include "dispatcher/record_sink.hpp"
#include "dispatcher/relay_peer.hpp"
#include "tls/context.hpp"

namespace mediaproxy::dispatcher
{

/// The dispatcher role: control socket, relay listener, session directory, relay choice, management
/// interface. [core thread]
class Dispatcher
{
public:
    struct Environment {
        asio::io_context& io;
        std::shared_ptr<tls::Context> tls; ///< for relays and management; null: plain TCP
        StateStore* store = nullptr;       ///< state over restarts; null: none is kept
        RecordSink* records = nullptr;     ///< null: records go nowhere
        std::string runtime_dir;           ///< relative socket paths are below it
        std::string version;
    };
    /// Binds the sockets; the error names the one that cannot be bound. Without endpoints in
    /// `options.listen` no relay can connect; the defaults are the configuration's.
    static Result<std::unique_ptr<Dispatcher>> create(Options options, Environment environment);
    ~Dispatcher();

    void start();

    /// The relay in the same process; borrowed, outlives the dispatcher's last use (stop).
    void attach(RelayPeer& local);
    /// A session of an attached relay ended by itself.
    void on_expired(RelayPeer& relay, const protocol::SessionReport& report);

    std::size_t session_count() const noexcept;
    /// "3 relays, 120 sessions" for the service manager.
    std::string status() const;
    /// Where relays and management clients really find it, for ports chosen by the system.
    std::vector<net::Endpoint> relay_endpoints() const;
    std::vector<net::Endpoint> management_endpoints() const;

    /// Stops listening, answers what is open and ends expired calls at the proxy while it answers,
    /// for three seconds at most, then calls `stopped`. The state stays in the store.
    void stop(std::function<void()> stopped);

private:
    Dispatcher();
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace mediaproxy::dispatcher
