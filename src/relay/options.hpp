// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "net/address.hpp"
#include "net/endpoint.hpp"
#include "net/network.hpp"
#include "tls/passport.hpp"

namespace mediaproxy::relay
{

struct PortRange {
    net::Port first = 40000;    ///< even
    std::uint32_t last = 60000; ///< even, exclusive, at most 65536
};

inline std::vector<std::string> default_forwarding()
{
    return {"nftables", "conntrack", "userspace"};
}

/// Settings of the relay role; names and defaults are those of the configuration file.
struct Options {
    struct Dispatcher {
        std::string host; ///< IP, host name, or domain with an SRV record
        net::Port port = 25060;
    };
    std::vector<Dispatcher> dispatchers;
    std::string name;                   ///< ours: told to our dispatchers; default: the host's name
    std::vector<net::Address> relay_ip; ///< one a family; empty: address of the default route
    std::vector<net::Address> advertised_ip; ///< told to the proxy instead, by family
    bool auto_detect_interfaces = false;
    PortRange port_range;
    Seconds stream_timeout{90}, on_hold_timeout{7200}, answer_timeout{300};
    std::optional<Seconds> idle_timeout; ///< nothing: nf_conntrack_udp_timeout_stream, else 120 s
    Seconds max_session_duration{0};
    bool allow_one_way = false;
    bool accelerate_rtcp = false;
    std::string learning_policy = "first";
    Seconds dns_check_interval{60}, keepalive_interval{10}, reconnect_delay{10};
    Seconds traffic_sampling_period{15};
    Seconds save_interval{5}; ///< of running calls' counters, for when we are killed; 0: never
    std::vector<net::Network> routable_private_ranges;
    /// [forwarding.NAME] tables in the order in which they are tried; none: all packets on the slow
    /// path.
    std::vector<std::string> forwarding = default_forwarding();
    tls::Passport passport;
};

} // namespace mediaproxy::relay
