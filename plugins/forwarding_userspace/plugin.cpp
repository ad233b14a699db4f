// SPDX-License-Identifier: GPL-2.0-or-later
#include <cstring>

#include <mediaproxy/forwarding.h>

#include "backend.hpp"
#include "settings.hpp"
#include "support/failure.hpp"
#include "support/forwarding_edge.hpp"

/// The C ABI's side: turns its arguments into ours and lets no exception out.
namespace forwarding_userspace
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
        auto made = Backend::create(HostLink(host, events), *chosen, *error);
        if (made == nullptr)
            return MP_E_UNSUPPORTED;
        *instance = made.release();
        return MP_OK;
    });
}

/// Sockets and threads die with the process: a predecessor leaves nothing to take over.
mp_status adopt(void*, const mp_flow* const* flows, std::uint32_t count, mp_status* each,
                mp_flow_reading* so_far, mp_error*) noexcept
{
    for (std::uint32_t i = 0; i < count; ++i) {
        each[i] = MP_E_UNSUPPORTED;
        so_far[i] = {flows[i]->id, {}, {}, -1, -1};
    }
    return MP_OK;
}

/// The mode makes no difference: nothing can be left forwarding.
void destroy(void* instance, std::uint32_t) noexcept
{
    delete static_cast<Backend*>(instance);
}

constexpr mp_forwarding forwarding = {
    .struct_size = sizeof(mp_forwarding),
    .flags = MP_FORWARDING_READS_SOCKETS,
    .create = create,
    .adopt = adopt,
    .install = Edge::install,
    .replace = Edge::replace,
    .remove = Edge::remove,
    .read = Edge::read,
    .destroy = destroy,
};

const void* get_interface(const char* id) noexcept
{
    return std::strcmp(id, MP_FORWARDING) == 0 ? &forwarding : nullptr;
}

constexpr const char* setting_keys[] = {"threads", "engine", "gso", nullptr};

} // namespace
} // namespace forwarding_userspace

extern "C" {
const mp_plugin mediaproxy_plugin = {
    .abi = MP_ABI_VERSION,
    .struct_size = sizeof(mp_plugin),
    .name = "userspace",
    .version = "0.1.0",
    .description = "forwards packets in threads of its own (io_uring or epoll)",
    .setting_keys = forwarding_userspace::setting_keys,
    .get_interface = forwarding_userspace::get_interface,
};
}
