// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>

#include <mediaproxy/forwarding.h>

#include "backend.hpp"
#include "settings.hpp"

/// The C ABI's side: turns its arguments into ours and lets no exception out.
namespace forwarding_userspace
{
namespace
{

template <typename Body>
mp_status guarded(mp_error* error, Body&& body) noexcept
{
    try {
        return body();
    } catch (const std::exception& problem) {
        std::snprintf(error->message, sizeof error->message, "%.200s", problem.what());
        return MP_E_FAILED;
    }
}

Backend& backend(void* instance)
{
    return *static_cast<Backend*>(instance);
}

mp_status create(const mp_host* host, const mp_flow_events* events, const mp_setting* settings,
                 std::uint32_t setting_count, void** instance, mp_error* error) noexcept
{
    return guarded(error, [&]() -> mp_status {
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

mp_status install(void* instance, const mp_flow* const* flows, std::uint32_t count, mp_status* each,
                  mp_error* error) noexcept
{
    std::fill_n(each, count, MP_E_FAILED);
    return guarded(error, [&] { return backend(instance).install({flows, count}, each, *error); });
}

mp_status replace(void* instance, const mp_flow* flow, mp_flow_reading* until_now,
                  mp_error* error) noexcept
{
    return guarded(error, [&] { return backend(instance).replace(*flow, *until_now, *error); });
}

mp_status remove(void* instance, const mp_flow_id* ids, std::uint32_t count,
                 mp_flow_reading* finals, mp_error* error) noexcept
{
    return guarded(error, [&] { return backend(instance).remove({ids, count}, finals, *error); });
}

mp_status read(void* instance, std::uint64_t request, mp_error* error) noexcept
{
    return guarded(error, [&]() -> mp_status {
        backend(instance).read(request);
        return MP_OK;
    });
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
