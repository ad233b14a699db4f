// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "support/sql_driver.hpp"

namespace mediaproxy::fakes
{

/// One table in memory, with unique indexes and transactions, and every fault that a test wants. It
/// understands the statements of SqlText in MySQL's dialect.
struct FakeDatabase {
    using Fault = plugin_support::Fault;
    using Outcome = plugin_support::SqlOutcome;
    using Values = std::vector<std::optional<std::string>>; ///< as SqlText::insert() has them

    bool exists = false;
    bool has_record_id = true;
    std::vector<plugin_support::SqlColumn> columns{
        {"id", 0}, {"call_id", 255}, {"from_tag", 64}, {"to_tag", 64}, {"info", 0}};
    std::vector<Values> rows;
    std::vector<Values> staged; ///< of the transaction that is going on
    bool connected = false;
    int connects = 0;
    std::vector<std::string> statements; ///< since the start, COMMIT and so on too
    /// What becomes of a statement before the database looks at it.
    std::function<Outcome(const std::string& sql)> interfere = [](const auto&) {
        return Outcome();
    };
    /// Whether a row is taken.
    std::function<Outcome(const Values& row)> judge = [](const Values&) { return Outcome(); };
    bool lose_answer_to_commit = false;

    std::size_t count(std::string_view start) const
    {
        return static_cast<std::size_t>(
            std::count_if(statements.begin(), statements.end(),
                          [&](const std::string& sql) { return sql.starts_with(start); }));
    }
    /// to_tag and record_id, or what `info` says, of every row.
    std::vector<std::string> told() const
    {
        std::vector<std::string> all;
        for (const Values& row : rows)
            all.push_back(row[2].value_or("NULL") + " " + row.back().value_or("NULL"));
        return all;
    }
};

class FakeDriver : public plugin_support::SqlDriver
{
public:
    explicit FakeDriver(FakeDatabase& database) : database_(database) {}

    std::string place() const override { return "fake"; }
    const plugin_support::SqlDialect& dialect() const override
    {
        return plugin_support::mysql_dialect;
    }
    plugin_support::SqlOutcome connect() override
    {
        ++database_.connects;
        auto outcome = note("CONNECT");
        database_.connected = outcome.ok();
        return outcome;
    }
    void disconnect() noexcept override
    {
        database_.connected = false;
        database_.staged.clear();
    }
    plugin_support::SqlOutcome begin() override { return note("BEGIN"); }
    plugin_support::SqlOutcome commit() override
    {
        auto outcome = note("COMMIT");
        if (!outcome.ok())
            return outcome;
        auto& staged = database_.staged;
        database_.rows.insert(database_.rows.end(), staged.begin(), staged.end());
        staged.clear();
        if (std::exchange(database_.lose_answer_to_commit, false))
            return {Fault::unavailable, "the connection is lost"};
        return outcome;
    }
    void rollback() override
    {
        note("ROLLBACK");
        database_.staged.clear();
    }
    plugin_support::SqlOutcome run(const std::string& sql,
                                   std::span<const plugin_support::SqlValue> values,
                                   plugin_support::SqlResult* result) override
    {
        auto outcome = note(sql);
        if (!outcome.ok())
            return outcome;
        if (sql.starts_with("CREATE"))
            database_.exists = true;
        else if (!database_.exists)
            return {Fault::no_table, "no such table"};
        else if (sql.starts_with("SELECT *"))
            describe(*result);
        else if (sql.starts_with("SELECT"))
            select(sql, values, *result);
        else if (sql.starts_with("INSERT"))
            return insert(values);
        return {};
    }
    void cancel() noexcept override {}

private:
    using Fault = plugin_support::Fault;
    using Values = FakeDatabase::Values;

    plugin_support::SqlOutcome note(const std::string& sql)
    {
        database_.statements.push_back(sql);
        return database_.interfere(sql);
    }
    void describe(plugin_support::SqlResult& result) const
    {
        result.columns = database_.columns;
        if (database_.has_record_id)
            result.columns.push_back({"RECORD_ID", 64});
    }
    void select(const std::string& sql, std::span<const plugin_support::SqlValue> values,
                plugin_support::SqlResult& result) const
    {
        const auto named = [&](const std::optional<std::string>& value) {
            return std::any_of(values.begin(), values.end(),
                               [&](const auto& each) { return value && each.value == *value; });
        };
        for (const Values& row : database_.rows) {
            if (sql.starts_with("SELECT `record_id`") && named(row[4]))
                result.rows.push_back({row[4]});
            else if (sql.starts_with("SELECT `info`") && named(row[0]) && named(row[1]))
                result.rows.push_back({row[3]});
            else if (sql.starts_with("SELECT `to_tag`") && named(row[0]) && named(row[1]))
                result.rows.push_back({row[2]});
        }
    }
    bool is_duplicate(const Values& row, const std::vector<Values>& rows) const
    {
        return std::any_of(rows.begin(), rows.end(), [&](const Values& other) {
            return database_.has_record_id
                       ? row[4] == other[4]
                       : row[2] && std::equal(row.begin(), row.begin() + 3, other.begin());
        });
    }
    plugin_support::SqlOutcome insert(std::span<const plugin_support::SqlValue> values)
    {
        for (const std::size_t columns = database_.has_record_id ? 5 : 4; !values.empty();
             values = values.subspan(columns)) {
            Values row;
            for (const auto& value : values.first(columns))
                row.push_back(value.kind == plugin_support::SqlValue::Kind::null
                                  ? std::nullopt
                                  : std::optional<std::string>(value.value));
            if (is_duplicate(row, database_.rows) || is_duplicate(row, database_.staged))
                return {Fault::duplicate, "duplicate entry"};
            auto judgement = database_.judge(row);
            if (!judgement.ok())
                return judgement;
            database_.staged.push_back(std::move(row));
        }
        return {};
    }

    FakeDatabase& database_;
};

} // namespace mediaproxy::fakes
