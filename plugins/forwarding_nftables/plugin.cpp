// SPDX-License-Identifier: GPL-2.0-or-later
#include <cstring>

#include <mediaproxy/forwarding.h>

#include "backend.hpp"
#include "settings.hpp"
#include "support/failure.hpp"
#include "support/forwarding_edge.hpp"

/// The C ABI's side: turns its arguments into ours and lets no exception out.
namespace forwarding_nftables
{
namespace
{

using mediaproxy::plugin_support::guarded;
using Edge = mediaproxy::plugin_support::ForwardingEdge<Backend>;

mp_status create(const mp_host* host, const mp_flow_events* events, const mp_setting* settings,
                 std::uint32_t setting_count, void** instance, mp_error* error) noexcept
{
    return guarded(error, MP_E_FAILED, [&]() -> mp_status {
        const auto chosen = parse_settings(settings, setting_count, *error);
        if (!chosen)
            return MP_E_INVALID;
        mp_status status = MP_OK;
        auto made = Backend::create(HostLink(host, events), *chosen, status, *error);
        *instance = made.release();
        return status;
    });
}

constexpr mp_forwarding forwarding = {
    .struct_size = sizeof(mp_forwarding),
    .flags = MP_FORWARDING_OUTLIVES_PROCESS,
    .create = create,
    .adopt = Edge::adopt,
    .install = Edge::install,
    .replace = Edge::replace,
    .remove = Edge::remove,
    .read = Edge::read,
    .destroy = Edge::destroy,
};

const void* get_interface(const char* id) noexcept
{
    return std::strcmp(id, MP_FORWARDING) == 0 ? &forwarding : nullptr;
}

constexpr const char* setting_keys[] = {"devices", "map_size", "forward_chain", "early_demux",
                                        nullptr};

} // namespace
} // namespace forwarding_nftables

extern "C" {
const mp_plugin mediaproxy_plugin = {
    .abi = MP_ABI_VERSION,
    .struct_size = sizeof(mp_plugin),
    .name = "nftables",
    .version = "0.1.0",
    .description = "forwards packets in the kernel (one nftables rule with a map)",
    .setting_keys = forwarding_nftables::setting_keys,
    .get_interface = forwarding_nftables::get_interface,
};
}
