// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <memory>

#include <mediaproxy/forwarding.h>

#include "support/failure.hpp"

namespace mediaproxy::plugin_support
{

/// The functions of mp_forwarding for a back end that is a class: spans instead of pointers and
/// counts, and no exception past the border. create() stays the plugin's own.
template <class Backend>
struct ForwardingEdge {
    static mp_status adopt(void* instance, const mp_flow* const* flows, std::uint32_t count,
                           mp_status* each, mp_flow_reading* so_far, mp_error* error) noexcept
    {
        return guarded(error, MP_E_FAILED, [&] {
            return of(instance).adopt({flows, count}, each, so_far, *error);
        });
    }

    static mp_status install(void* instance, const mp_flow* const* flows, std::uint32_t count,
                             mp_status* each, mp_error* error) noexcept
    {
        std::fill_n(each, count, MP_E_FAILED);
        return guarded(error, MP_E_FAILED, [&] {
            return of(instance).install({flows, count}, each, *error);
        });
    }

    static mp_status replace(void* instance, const mp_flow* flow, mp_flow_reading* until_now,
                             mp_error* error) noexcept
    {
        return guarded(error, MP_E_FAILED,
                       [&] { return of(instance).replace(*flow, *until_now, *error); });
    }

    static mp_status remove(void* instance, const mp_flow_id* ids, std::uint32_t count,
                            mp_flow_reading* finals, mp_error* error) noexcept
    {
        return guarded(error, MP_E_FAILED, [&] {
            return of(instance).remove({ids, count}, finals, *error);
        });
    }

    static mp_status read(void* instance, std::uint64_t request, mp_error* error) noexcept
    {
        return guarded(error, MP_E_FAILED, [&]() -> mp_status {
            of(instance).read(request);
            return MP_OK;
        });
    }

    /// For a back end whose flows outlive it unless clean_up() takes them back.
    static void destroy(void* instance, std::uint32_t mode) noexcept
    {
        const std::unique_ptr<Backend> going(&of(instance));
        mp_error nobody_asks{};
        if (mode != MP_DESTROY_LEAVE)
            guarded(&nobody_asks, MP_E_FAILED, [&]() -> mp_status {
                going->clean_up();
                return MP_OK;
            });
    }

private:
    static Backend& of(void* instance) noexcept { return *static_cast<Backend*>(instance); }
};

} // namespace mediaproxy::plugin_support
