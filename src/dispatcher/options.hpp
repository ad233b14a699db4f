// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "net/endpoint.hpp"
#include "protocol/dialog_end.hpp"
#include "tls/passport.hpp"

namespace mediaproxy::dispatcher
{

/// Settings of the dispatcher role; names and defaults are those of the configuration file.
struct Options {
    std::string name; ///< ours: stable id told to our relays; default: host name and socket path
    std::string socket_path = "dispatcher.sock"; ///< relative: in the runtime folder
    std::string socket_owner, socket_group;      ///< empty: leave
    std::optional<unsigned> socket_mode;         ///< nothing: 0660
    std::vector<net::Endpoint> listen;           ///< default: any address, port 25060
    tls::Passport passport;                      ///< of relays
    Milliseconds request_deadline{400};          ///< we say `error` rather than later
    Milliseconds attempt_timeout{150};           ///< then a new session is tried at the next relay
    Seconds relay_timeout{5}, relay_recover_interval{60};
    Seconds cleanup_dead_relays_after{43200}, cleanup_expired_sessions_after{86400};
    std::string balancing = "round-robin"; ///< round-robin or least-sessions
    std::vector<std::string> accounting;   ///< instance names of accounting back ends, in order

    struct Management {
        bool enabled = true;
        std::vector<net::Endpoint> listen; ///< default 127.0.0.1:25061
        std::string socket_path;           ///< ours: also on a UNIX socket; empty: none
        bool use_tls = true;
        tls::Passport passport;
        enum class Framing { lines, array } framing = Framing::lines;
    } management;

    /// How the proxy is asked to end the dialogs of expired calls.
    struct Proxy {
        std::string socket_path; ///< its datagram socket; empty: it is not asked
        protocol::ProxyKind kind = protocol::ProxyKind::automatic;
        std::string reply_path = "proxy-reply.sock"; ///< ours; relative: in the runtime folder
        Milliseconds timeout{2000};                  ///< of one question
        int retries = 3;
    } proxy;
};

} // namespace mediaproxy::dispatcher
