// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>

#include "store/sqlite.hpp"

namespace mediaproxy::store
{

constexpr std::uint64_t schema_version = 2;

/// Makes the tables in a new file, brings those of an older version up to date, refuses those of a
/// newer one (`unsupported`). All or nothing.
Result<void> prepare_schema(Connection& connection, const std::string& path);

} // namespace mediaproxy::store
