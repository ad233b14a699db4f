// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>

#include "flow.hpp"

namespace forwarding_conntrack
{

/// Whether this back end can forward such a flow at all; MP_OK, or why not.
mp_status check_flow(const mp_flow& flow, mp_error& error);

Flow to_flow(const mp_flow& flow);

/// CLOCK_BOOTTIME.
std::int64_t now_ms();

} // namespace forwarding_conntrack
