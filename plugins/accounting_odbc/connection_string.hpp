// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "options.hpp"

namespace mediaproxy::accounting_odbc
{

/// What SQLDriverConnect() is given. It holds the password.
std::string connection_string(const Options& options);

/// Where the database is, for messages: no password, nothing of `connection_string`.
std::string place_of(const Options& options);

} // namespace mediaproxy::accounting_odbc
