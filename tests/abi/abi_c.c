/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The ABI headers are C11, each includes what it needs and may be included twice. */
#include <mediaproxy/forwarding.h>

#include <mediaproxy/accounting.h>

#include <mediaproxy/forwarding.h>
#include <mediaproxy/plugin.h>
#include <mediaproxy/types.h>

#include "layout.h"

int abi_has_first(const mp_host *host)
{
    return MP_HAS(host, struct_size) && !MP_HAS(host, get_service);
}

int abi_has_all(const mp_host *host)
{
    return MP_HAS(host, get_service);
}
