// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>

namespace mediaproxy::media
{

/// The name of an RTP payload type (0-127) as MediaProxy's records spell it: the static name,
/// `Dynamic(N)` above 95, `Unknown(N)` otherwise.
std::string payload_name(std::uint8_t type);

} // namespace mediaproxy::media
