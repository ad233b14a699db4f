// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "flow.hpp"

namespace forwarding_conntrack
{

/// Whether this back end can forward such a flow at all; MP_OK, or why not.
mp_status check_flow(const mp_flow& flow, mp_error& error);

Flow to_flow(const mp_flow& flow);

} // namespace forwarding_conntrack
