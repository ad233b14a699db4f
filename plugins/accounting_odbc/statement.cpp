// SPDX-License-Identifier: GPL-2.0-or-later
#include "statement.hpp"

#include <algorithm>
#include <array>

#include "utf16.hpp"

namespace mediaproxy::accounting_odbc
{

using plugin_support::SqlColumn;
using plugin_support::SqlResult;
using plugin_support::SqlValue;

namespace
{

static_assert(sizeof(SQLWCHAR) == sizeof(char16_t));

bool is_binary(SQLSMALLINT type)
{
    return type == SQL_BINARY || type == SQL_VARBINARY || type == SQL_LONGVARBINARY;
}

/// Long types have no size that a value could be cut at.
bool has_size(SQLSMALLINT type)
{
    return type == SQL_CHAR || type == SQL_VARCHAR || type == SQL_WCHAR || type == SQL_WVARCHAR;
}

/// Piece by piece: no driver knows beforehand how long a value is.
bool read_value(SQLHSTMT statement, SQLUSMALLINT column, SQLSMALLINT form,
                std::optional<std::string>& value)
{
    std::array<char, 16384> piece{};
    // Text pieces end with a zero, which counts for the piece's room only.
    const std::size_t ending = form == SQL_C_BINARY ? 0 : form == SQL_C_WCHAR ? 2 : 1;
    const std::size_t room = piece.size() - ending;
    std::string whole;
    while (true) {
        SQLLEN size = 0;
        const SQLRETURN code = SQLGetData(statement, column, form, piece.data(),
                                          static_cast<SQLLEN>(piece.size()), &size);
        if (code == SQL_NO_DATA)
            break;
        if (!SQL_SUCCEEDED(code))
            return false;
        if (size == SQL_NULL_DATA) {
            value.reset();
            return true;
        }
        const bool more = code == SQL_SUCCESS_WITH_INFO &&
                          (size == SQL_NO_TOTAL || static_cast<std::size_t>(size) > room);
        whole.append(piece.data(), more ? room : static_cast<std::size_t>(size));
        if (!more)
            break;
    }
    value = std::move(whole);
    return true;
}

std::string from_wide(const std::string& bytes)
{
    std::u16string text(bytes.size() / 2, u'\0');
    std::copy_n(bytes.data(), text.size() * 2, reinterpret_cast<char*>(text.data()));
    return to_utf8(text);
}

} // namespace

bool Parameters::bind(SQLHSTMT statement, std::span<const SqlValue> values)
{
    SQLUSMALLINT number = 0;
    return std::all_of(values.begin(), values.end(), [&](const SqlValue& value) {
        return SQL_SUCCEEDED(bind(statement, ++number, value));
    });
}

SQLRETURN Parameters::bind(SQLHSTMT statement, SQLUSMALLINT number, const SqlValue& value)
{
    const bool bytes = value.kind == SqlValue::Kind::bytes;
    const bool wide = !bytes && dialect_.text == TextForm::utf16;
    const void* data = value.value.data();
    std::size_t size = value.value.size(), characters = size;
    if (wide) {
        const std::u16string& text = wide_.emplace_back(to_utf16(value.value));
        data = text.data();
        characters = text.size();
        size = characters * sizeof(char16_t);
    }
    SQLLEN& told = sizes_.emplace_back(
        value.kind == SqlValue::Kind::null ? SQL_NULL_DATA : static_cast<SQLLEN>(size));
    const SQLSMALLINT form = bytes ? SQL_C_BINARY : wide ? SQL_C_WCHAR : SQL_C_CHAR;
    const SQLSMALLINT type = bytes ? dialect_.bytes : wide ? SQL_WVARCHAR : SQL_VARCHAR;
    // The driver only reads it, though ODBC has no const; a size of 0 some refuse.
    return SQLBindParameter(statement, number, SQL_PARAM_INPUT, form, type,
                            std::max<std::size_t>(characters, 1), 0, const_cast<void*>(data),
                            static_cast<SQLLEN>(size), &told);
}

bool fetch(SQLHSTMT statement, TextForm text, SqlResult& result)
{
    result = {};
    SQLSMALLINT count = 0;
    if (!SQL_SUCCEEDED(SQLNumResultCols(statement, &count)))
        return false;
    std::vector<SQLSMALLINT> forms;
    for (SQLUSMALLINT column = 1; column <= count; ++column) {
        std::array<SQLCHAR, 256> name{};
        SQLSMALLINT length = 0, type = 0, digits = 0, nullable = 0;
        SQLULEN size = 0;
        if (!SQL_SUCCEEDED(SQLDescribeCol(statement, column, name.data(), name.size(), &length,
                                          &type, &size, &digits, &nullable)))
            return false;
        result.columns.push_back(
            {reinterpret_cast<const char*>(name.data()), has_size(type) ? size : 0});
        forms.push_back(is_binary(type)           ? SQL_C_BINARY
                        : text == TextForm::utf16 ? SQL_C_WCHAR
                                                  : SQL_C_CHAR);
    }
    SQLRETURN code = count == 0 ? SQL_NO_DATA : SQLFetch(statement);
    for (; SQL_SUCCEEDED(code); code = SQLFetch(statement)) {
        auto& row = result.rows.emplace_back(forms.size());
        for (std::size_t i = 0; i < forms.size(); ++i) {
            if (!read_value(statement, static_cast<SQLUSMALLINT>(i + 1), forms[i], row[i]))
                return false;
            if (row[i] && forms[i] == SQL_C_WCHAR)
                row[i] = from_wide(*row[i]);
        }
    }
    return code == SQL_NO_DATA;
}

Diagnosis diagnose(SQLSMALLINT kind, SQLHANDLE handle)
{
    std::array<SQLCHAR, 6> state{};
    std::array<SQLCHAR, 1024> text{};
    SQLINTEGER native = 0;
    SQLSMALLINT length = 0;
    if (!SQL_SUCCEEDED(SQLGetDiagRec(kind, handle, 1, state.data(), &native, text.data(),
                                     text.size(), &length)))
        return {"", 0, "the ODBC driver does not say why"};
    std::string message = reinterpret_cast<const char*>(text.data());
    // Some have several lines; the log has one.
    std::replace(message.begin(), message.end(), '\n', ' ');
    return {reinterpret_cast<const char*>(state.data()), native, std::move(message)};
}

} // namespace mediaproxy::accounting_odbc
