// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <utility>

#include <sql.h>
#include <sqlext.h>

namespace mediaproxy::accounting_odbc
{

/// A handle of ODBC, freed once.
template <SQLSMALLINT kind>
class Handle
{
public:
    Handle() = default;
    Handle(Handle&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
    Handle& operator=(Handle&& other) noexcept
    {
        std::swap(handle_, other.handle_);
        return *this;
    }
    ~Handle() { reset(); }

    /// Null when there is no memory for it.
    static Handle make(SQLHANDLE parent)
    {
        Handle handle;
        if (!SQL_SUCCEEDED(SQLAllocHandle(kind, parent, &handle.handle_)))
            handle.handle_ = nullptr;
        return handle;
    }

    SQLHANDLE get() const { return handle_; }
    explicit operator bool() const { return handle_ != nullptr; }
    void reset()
    {
        if (handle_ != nullptr)
            SQLFreeHandle(kind, std::exchange(handle_, nullptr));
    }

private:
    SQLHANDLE handle_ = nullptr;
};

using Environment = Handle<SQL_HANDLE_ENV>;
using Connection = Handle<SQL_HANDLE_DBC>;
using Statement = Handle<SQL_HANDLE_STMT>;

/// A setting of ODBC's that is a number, which it takes as a pointer.
inline SQLPOINTER number(SQLULEN value)
{
    return reinterpret_cast<SQLPOINTER>(value); // NOLINT(performance-no-int-to-ptr)
}

} // namespace mediaproxy::accounting_odbc
