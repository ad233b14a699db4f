// SPDX-License-Identifier: GPL-2.0-or-later
// A plugin that lets C++ exceptions out where the build says: create, get_interface or destroy.
#include <cstring>
#include <stdexcept>

#include <mediaproxy/accounting.h>

namespace
{

struct Odd {
};

mp_status create(const mp_host*, const mp_setting*, std::uint32_t, void**, mp_error*)
{
    if (std::strcmp(THROWS_IN, "create") == 0)
        throw std::runtime_error("thrown in create");
    return MP_OK;
}

mp_status open(void*, mp_error*)
{
    throw std::runtime_error("thrown in open");
}

mp_status write(void*, const mp_session_record* const*, std::uint32_t, std::uint32_t*, mp_error*)
{
    throw Odd{};
}

void cancel(void*)
{
    throw Odd{};
}

void destroy(void*)
{
    throw Odd{};
}

constexpr mp_accounting accounting = {sizeof accounting, 0, create, open, write, cancel, destroy};

const void* get_interface(const char* id)
{
    if (std::strcmp(THROWS_IN, "get_interface") == 0)
        throw Odd{};
    return std::strcmp(id, MP_ACCOUNTING) == 0 ? &accounting : nullptr;
}

const char* const setting_keys[] = {nullptr};

} // namespace

const mp_plugin mediaproxy_plugin = {
    MP_ABI_VERSION,         sizeof(mp_plugin), PLUGIN_NAME,   "0.1",
    "a plugin that throws", setting_keys,      get_interface,
};
