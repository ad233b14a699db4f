// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string_view>

#include "support/sql_driver.hpp"

namespace mediaproxy::accounting_mysql
{

/// Whose fault an error of the server or of libmariadb is.
plugin_support::Fault fault_of(unsigned code, std::string_view sqlstate) noexcept;

} // namespace mediaproxy::accounting_mysql
