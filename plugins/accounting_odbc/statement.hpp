// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <deque>
#include <span>
#include <string>

#include "dialects.hpp"
#include "handle.hpp"
#include "support/sql_driver.hpp"

namespace mediaproxy::accounting_odbc
{

/// The values of a statement as the driver reads them; lives until it was run.
class Parameters
{
public:
    explicit Parameters(const Dialect& dialect) : dialect_(dialect) {}

    /// Whether the driver took them.
    bool bind(SQLHSTMT statement, std::span<const plugin_support::SqlValue> values);

private:
    SQLRETURN bind(SQLHSTMT statement, SQLUSMALLINT number, const plugin_support::SqlValue& value);

    const Dialect& dialect_;
    std::deque<SQLLEN> sizes_; // addresses must stay
    std::deque<std::u16string> wide_;
};

/// Reads columns and rows of what was run; false when the driver fails in the middle.
bool fetch(SQLHSTMT statement, TextForm text, plugin_support::SqlResult& result);

/// What a driver says about its last call.
struct Diagnosis {
    std::string state;
    int native = 0;
    std::string message;
};

Diagnosis diagnose(SQLSMALLINT kind, SQLHANDLE handle);

} // namespace mediaproxy::accounting_odbc
