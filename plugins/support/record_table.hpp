// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include <mediaproxy/accounting.h>

#include "support/accounting_edge.hpp"
#include "support/record_row.hpp"
#include "support/sql_dialect.hpp"
#include "support/sql_driver.hpp"
#include "support/sql_options.hpp"

namespace mediaproxy::plugin_support
{

/// The table of records in an SQL database, whichever: makes it where it is missing, writes every
/// record once, also into a table that MediaProxy made. One thread; cancel() from any.
class RecordTable
{
public:
    RecordTable(std::unique_ptr<SqlDriver> driver, TableNames names, Log log);

    /// Connects anew and makes the table where it is missing. What goes wrong here is never a
    /// record's fault: MP_E_AGAIN.
    Outcome open();

    /// Batches are transactions. `done` records are durable afterwards, the outcome is that of the
    /// next one.
    Outcome write(std::span<const mp_session_record* const> records, std::uint32_t& done);

    /// Ends what blocks, and every later call.
    void cancel() noexcept { driver_->cancel(); }

private:
    using Rows = std::span<RecordRow>;
    enum class Look { none, first };

    SqlOutcome find_or_make_table();
    SqlOutcome make_table();
    SqlOutcome check_columns(const SqlResult& table);
    std::string definition() const;

    SqlOutcome write_range(Rows rows, std::uint32_t& done);
    SqlOutcome write_batch(Rows rows);
    SqlOutcome write_one(RecordRow& row);
    SqlOutcome write_beside_others(RecordRow& row);
    SqlOutcome transaction(Rows rows, Look look);
    SqlOutcome find_written(Rows rows, std::set<std::string>& written);
    SqlOutcome find_last_number(const RecordRow& row, unsigned& number);
    SqlOutcome insert(std::span<const RecordRow* const> rows);
    RecordRow read(const mp_session_record& record);

    SqlOutcome about_table(std::string_view what, SqlOutcome outcome) const;
    Outcome end(const SqlOutcome& outcome);
    void warn_once(const char* about, const std::string& sentence);

    const std::unique_ptr<SqlDriver> driver_;
    const TableNames names_;
    const SqlText text_;
    const Log log_;
    bool opened_ = false;
    Layout layout_ = Layout::ours;
    ColumnSizes sizes_;
    bool definition_logged_ = false;
    std::set<std::string> warned_;
};

/// The table behind a `Driver` that is made of `Options`; with a sentence instead of options, that.
template <class Driver, class Options>
Made<RecordTable> make_record_table(std::variant<Options, std::string> options, Log log)
{
    if (auto* wrong = std::get_if<std::string>(&options))
        return std::move(*wrong);
    auto& chosen = std::get<Options>(options);
    TableNames names = chosen.names;
    return std::make_unique<RecordTable>(std::make_unique<Driver>(std::move(chosen)),
                                         std::move(names), std::move(log));
}

} // namespace mediaproxy::plugin_support
