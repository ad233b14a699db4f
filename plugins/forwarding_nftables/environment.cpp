// SPDX-License-Identifier: GPL-2.0-or-later
#include "environment.hpp"

#include <filesystem>
#include <vector>

#include "support/failure.hpp"

namespace forwarding_nftables
{

using mediaproxy::plugin_support::fail;
using mediaproxy::plugin_support::Sysctls;

namespace
{

/// Devices, "default" and "all" whose sysctl has this value.
std::vector<std::string> with_value(const std::string& folder, const std::string& leaf,
                                    const std::string& value)
{
    std::vector<std::string> found;
    std::error_code problem;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/sys/" + folder, problem)) {
        const std::string name = folder + "/" + entry.path().filename().string() + "/" + leaf;
        if (Sysctls::read(name) == value)
            found.push_back(name);
    }
    return found;
}

} // namespace

mp_status Environment::prepare(Family family, mp_error& error)
{
    bool& prepared = family == Family::ipv4 ? ipv4_ : ipv6_;
    if (prepared)
        return MP_OK;
    const mp_status status = family == Family::ipv4 ? prepare_ipv4(error) : prepare_ipv6(error);
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
    if (!with_value("net/ipv4/conf", "rp_filter", "1").empty())
        return sysctls_.require("net/ipv4/conf/all/rp_filter", "2", error);
    return MP_OK;
}

mp_status Environment::prepare_ipv6(mp_error& error)
{
    const std::string forwarding = "net/ipv6/conf/all/forwarding";
    if (Sysctls::read(forwarding) != "1") {
        // A router takes no default route from others (and drops those it has), unless told to.
        for (const std::string& name : with_value("net/ipv6/conf", "accept_ra", "1")) {
            if (const mp_status status = sysctls_.require(name, "2", error); status != MP_OK)
                return status;
        }
    }
    return sysctls_.require(forwarding, "1", error);
}

mp_status Environment::hold(mp_error& error)
{
    if (!sysctls_.hold())
        return fail(&error, MP_E_DENIED,
                    "somebody changed a sysctl that forwarding needs, and it cannot be set back");
    if (ipv4_)
        return prepare_ipv4(error);
    return MP_OK;
}

} // namespace forwarding_nftables
