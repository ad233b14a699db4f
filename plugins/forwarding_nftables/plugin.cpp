// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <cstring>
#include <memory>

#include <mediaproxy/forwarding.h>

#include "backend.hpp"
#include "settings.hpp"
#include "support/failure.hpp"

/// The C ABI's side: turns its arguments into ours and lets no exception out.
namespace forwarding_nftables
{
namespace
{

using mediaproxy::plugin_support::guarded;

Backend& backend(void* instance)
{
    return *static_cast<Backend*>(instance);
}

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

mp_status adopt(void* instance, const mp_flow* const* flows, std::uint32_t count, mp_status* each,
                mp_flow_reading* so_far, mp_error* error) noexcept
{
    return guarded(error, MP_E_FAILED, [&] {
        return backend(instance).adopt({flows, count}, each, so_far, *error);
    });
}

mp_status install(void* instance, const mp_flow* const* flows, std::uint32_t count, mp_status* each,
                  mp_error* error) noexcept
{
    std::fill_n(each, count, MP_E_FAILED);
    return guarded(error, MP_E_FAILED, [&] {
        return backend(instance).install({flows, count}, each, *error);
    });
}

mp_status replace(void* instance, const mp_flow* flow, mp_flow_reading* until_now,
                  mp_error* error) noexcept
{
    return guarded(error, MP_E_FAILED,
                   [&] { return backend(instance).replace(*flow, *until_now, *error); });
}

mp_status remove(void* instance, const mp_flow_id* ids, std::uint32_t count,
                 mp_flow_reading* finals, mp_error* error) noexcept
{
    return guarded(error, MP_E_FAILED, [&] {
        return backend(instance).remove({ids, count}, finals, *error);
    });
}

mp_status read(void* instance, std::uint64_t request, mp_error* error) noexcept
{
    return guarded(error, MP_E_FAILED, [&]() -> mp_status {
        backend(instance).read(request);
        return MP_OK;
    });
}

void destroy(void* instance, std::uint32_t mode) noexcept
{
    const std::unique_ptr<Backend> going(static_cast<Backend*>(instance));
    mp_error ignored{};
    if (mode == MP_DESTROY_REMOVE)
        guarded(&ignored, MP_E_FAILED, [&]() -> mp_status {
            going->clean_up();
            return MP_OK;
        });
}

constexpr mp_forwarding forwarding = {
    .struct_size = sizeof(mp_forwarding),
    .flags = MP_FORWARDING_OUTLIVES_PROCESS,
    .create = create,
    .adopt = adopt,
    .install = install,
    .replace = replace,
    .remove = remove,
    .read = read,
    .destroy = destroy,
};

const void* get_interface(const char* id) noexcept
{
    return std::strcmp(id, MP_FORWARDING) == 0 ? &forwarding : nullptr;
}

constexpr const char* setting_keys[] = {"devices", "map_size", "forward_chain", nullptr};

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
