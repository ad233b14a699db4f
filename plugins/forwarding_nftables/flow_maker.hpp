// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <string>

#include "flow_table.hpp"
#include "routes.hpp"

namespace forwarding_nftables
{

/// "flow 7: " and the rest.
std::string sentence_of(mp_flow_id id, const std::string& text);

/// The flow as elements. Null, a status and a sentence when the kernel's maps cannot have it, or
/// not now. `routes` is null where the host routes.
std::unique_ptr<Flow> make_flow(const mp_flow& wanted, Routes* routes, mp_status& status,
                                mp_error& error);

/// Resolves the ways out of a flow anew and writes them into its data: MP_OK, or why there is none.
mp_status route_flow(Flow& flow, Routes& routes, mp_error& error);

} // namespace forwarding_nftables
