// SPDX-License-Identifier: GPL-2.0-or-later
#include "environment.hpp"

#include "support/failure.hpp"

namespace forwarding_nftables
{

using mediaproxy::plugin_support::fail;
using mediaproxy::plugin_support::require_ipv6_forwarding;
using mediaproxy::plugin_support::sysctls_with_value;

mp_status Environment::prepare(Family family, mp_error& error)
{
    bool& prepared = family == Family::ipv4 ? ipv4_ : ipv6_;
    if (prepared)
        return MP_OK;
    const mp_status status =
        family == Family::ipv4 ? prepare_ipv4(error) : require_ipv6_forwarding(sysctls_, error);
    prepared = status == MP_OK;
    return status;
}

mp_status Environment::prepare_ipv4(mp_error& error)
{
    // A packet that we have rewritten comes from outside and yet from an address of this host.
    for (const char* name : {"net/ipv4/ip_forward", "net/ipv4/conf/all/accept_local"}) {
        if (const mp_status status = sysctls_.require(name, "1", error); status != MP_OK)
            return status;
    }
    // A strict check of the way back is one that such a packet cannot pass, a loose one it can.
    if (!sysctls_with_value("net/ipv4/conf", "rp_filter", "1").empty())
        return sysctls_.require("net/ipv4/conf/all/rp_filter", "2", error);
    return MP_OK;
}

mp_status Environment::hold(mp_error& error)
{
    if (!sysctls_.hold())
        return fail(&error, MP_E_DENIED,
                    "somebody changed a sysctl that forwarding needs, and it cannot be set back");
    if (ipv4_ && looks_.is_due())
        looks_.spend([&] { refused_ = prepare_ipv4(refusal_); });
    if (refused_ != MP_OK)
        error = refusal_;
    return refused_;
}

} // namespace forwarding_nftables
