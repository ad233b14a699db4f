// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "net/address.hpp"
#include "relay/options.hpp"
#include "session/types.hpp"

namespace mediaproxy::relay
{

/// Which local address media is bound to, and which one the SIP proxy is told. [core thread]
class LocalAddresses
{
public:
    /// Takes `relay_ip`, or the addresses of the default routes; tries to bind each. The error says
    /// which address is wrong, or that there is no default route.
    static Result<LocalAddresses> create(const Options& options);

    /// For media with a peer at `toward` (none: not known); unsupported when the family is not
    /// served.
    Result<session::LocalAddress> choose(net::Family family, const net::Address& toward,
                                         TimePoint now);
    const std::vector<net::Address>& bound() const noexcept { return bind_; }
    const std::vector<net::Address>& advertised() const noexcept { return advertised_; }
    /// What the SIP proxies are told: one address a family, the bound one unless advertised.
    std::vector<net::Address> told() const;

private:
    LocalAddresses() = default;
    session::LocalAddress fixed(const net::Address& bind) const noexcept;

    struct Route {
        net::Address source;
        TimePoint until{};
    };
    std::vector<net::Address> bind_;
    std::vector<net::Address> advertised_;
    bool detect_ = false;
    std::unordered_map<net::Address, Route> routes_; ///< looked up lately
};

} // namespace mediaproxy::relay
