// SPDX-License-Identifier: GPL-2.0-or-later
#include "support/record_table.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "support/utf8.hpp"

namespace mediaproxy::plugin_support
{

namespace
{

/// Of what one statement carries: servers refuse packets from some size on, 1 MB in old ones, and
/// escaped it may be twice as large.
constexpr std::size_t most_bytes = 256UL * 1024;

/// Another one's number behind to_tag may come in between, but not again and again.
constexpr unsigned most_attempts = 20;

SqlValue text(std::string_view value)
{
    return {SqlValue::Kind::text, value};
}

/// How many rows, at most `most`, go into one statement.
std::size_t rows_that_fit(std::span<const RecordRow* const> rows, std::size_t most)
{
    std::size_t count = 1, bytes = rows.front()->info.size();
    for (; count < std::min(rows.size(), most); ++count) {
        bytes += rows[count]->info.size();
        if (bytes > most_bytes)
            break;
    }
    return count;
}

/// N of `to_tag#N`, 1 for to_tag itself, 0 for any other.
unsigned number_behind(std::string_view to_tag, std::string_view found)
{
    if (found == to_tag)
        return 1;
    const std::size_t hash = found.rfind('#');
    unsigned number = 0;
    if (hash == found.npos || !to_tag.starts_with(found.substr(0, hash)))
        return 0;
    const auto [end, error] =
        std::from_chars(found.data() + hash + 1, found.data() + found.size(), number);
    return error == std::errc{} && end == found.data() + found.size() ? number : 0;
}

} // namespace

RecordTable::RecordTable(std::unique_ptr<SqlDriver> driver, TableNames names, Log log)
    : driver_(std::move(driver)), names_(std::move(names)), text_(names_, driver_->dialect()),
      log_(std::move(log))
{
}

void RecordTable::warn_once(const char* about, const std::string& sentence)
{
    if (warned_.insert(about).second)
        log_(MP_LOG_WARNING, driver_->place() + ": table " + names_.table + ": " + sentence);
}

SqlOutcome RecordTable::about_table(std::string_view what, SqlOutcome outcome) const
{
    outcome.message = "table " + names_.table + " " + std::string(what) + ": " + outcome.message;
    return outcome;
}

/// For the host. After trouble with the database it calls open() first, and so it has to.
Outcome RecordTable::end(const SqlOutcome& outcome)
{
    if (outcome.ok())
        return {};
    const bool records_fault = outcome.fault == Fault::record || outcome.fault == Fault::duplicate;
    if (!records_fault) {
        opened_ = false;
        driver_->disconnect();
    }
    return {records_fault ? MP_E_FAILED : MP_E_AGAIN, driver_->place() + ": " + outcome.message};
}

Outcome RecordTable::open()
{
    SqlOutcome outcome = driver_->connect();
    if (outcome.ok())
        outcome = find_or_make_table();
    opened_ = outcome.ok();
    if (opened_) {
        definition_logged_ = false;
        return {};
    }
    // No record has been looked at: whatever it is, it passes, or a person repairs it.
    outcome.fault = Fault::unavailable;
    return end(outcome);
}

std::string RecordTable::definition() const
{
    std::string all;
    for (const std::string& statement : text_.definition())
        all += (all.empty() ? "" : " ") + statement + ";";
    return all;
}

SqlOutcome RecordTable::find_or_make_table()
{
    SqlResult table;
    SqlOutcome outcome = driver_->run(text_.columns(), {}, &table);
    if (outcome.fault == Fault::no_table) {
        SqlOutcome made = make_table();
        if (made.fault == Fault::unavailable)
            return about_table("cannot be made", std::move(made));
        // Made by somebody else in between is made too.
        outcome = driver_->run(text_.columns(), {}, &table);
        if (!made.ok() && !outcome.ok())
            outcome = about_table("cannot be made", {Fault::refused, std::move(made.message)});
    } else if (!outcome.ok()) {
        outcome = about_table("cannot be read", std::move(outcome));
    }
    if (outcome.ok())
        outcome = check_columns(table);
    if (outcome.fault == Fault::refused && !std::exchange(definition_logged_, true))
        log_(MP_LOG_ERROR,
             driver_->place() + ": " + outcome.message + "; for a person to run: " + definition());
    return outcome;
}

SqlOutcome RecordTable::make_table()
{
    SqlOutcome outcome = driver_->begin();
    for (const std::string& statement : text_.definition())
        if (outcome.ok())
            outcome = driver_->run(statement, {}, nullptr);
    if (outcome.ok())
        outcome = driver_->commit();
    if (!outcome.ok())
        driver_->rollback();
    return outcome;
}

SqlOutcome RecordTable::check_columns(const SqlResult& table)
{
    const auto find = [&](std::string_view name) {
        return std::find_if(
            table.columns.begin(), table.columns.end(),
            [&](const SqlColumn& column) { return lower(column.name) == lower(name); });
    };
    sizes_ = ColumnSizes();
    for (const auto& [name, size] : {std::pair{&names_.call_id, &sizes_.call_id},
                                     {&names_.from_tag, &sizes_.from_tag},
                                     {&names_.to_tag, &sizes_.to_tag},
                                     {&names_.info, static_cast<std::size_t*>(nullptr)}}) {
        const auto column = find(*name);
        if (column == table.columns.end())
            return {Fault::refused, "table " + names_.table + " has no column " + *name};
        if (size != nullptr && column->characters != 0)
            *size = column->characters;
    }
    const auto record_id = find("record_id");
    layout_ = record_id == table.columns.end() ? Layout::mediaproxy : Layout::ours;
    if (layout_ == Layout::ours && record_id->characters != 0)
        sizes_.record_id = record_id->characters;
    return {};
}

RecordRow RecordTable::read(const mp_session_record& record)
{
    return to_row(record, sizes_, [&](const char* column, std::size_t characters) {
        warn_once(column, std::string(column) + " of record " + record.record_id +
                              " is cut at the column's " + std::to_string(characters) +
                              " characters, and so is that of others; " + names_.info +
                              " has it whole");
    });
}

Outcome RecordTable::write(std::span<const mp_session_record* const> records, std::uint32_t& done)
{
    done = 0;
    if (!opened_)
        return {MP_E_AGAIN, driver_->place() + ": not open"};
    std::vector<RecordRow> rows;
    SqlOutcome unusable;
    for (const mp_session_record* record : records) {
        rows.push_back(read(*record));
        // Cut, two of them could be one.
        const std::string& id = rows.back().record_id;
        if (!id.empty() && cut(id, sizes_.record_id).size() == id.size())
            continue;
        unusable = {Fault::record, "record " + id + ": its record_id is not of 1 to " +
                                       std::to_string(sizes_.record_id) + " characters"};
        rows.pop_back();
        break;
    }
    const SqlOutcome outcome = write_range(rows, done);
    return end(outcome.ok() ? unusable : outcome);
}

/// A batch with one that is refused is halved until that one is alone.
SqlOutcome RecordTable::write_range(Rows rows, std::uint32_t& done)
{
    if (rows.empty())
        return {};
    SqlOutcome outcome = rows.size() == 1 ? write_one(rows.front()) : write_batch(rows);
    if (outcome.ok())
        done += static_cast<std::uint32_t>(rows.size());
    const bool divide = outcome.fault == Fault::record || outcome.fault == Fault::duplicate;
    if (rows.size() == 1 || !divide)
        return outcome;
    const std::size_t half = rows.size() / 2;
    outcome = write_range(rows.first(half), done);
    return outcome.ok() ? write_range(rows.subspan(half), done) : outcome;
}

/// In MediaProxy's table an unknown to_tag is NULL, which its unique index takes any number of
/// times: only a look tells what is written already. In ours the index on record_id does.
SqlOutcome RecordTable::write_batch(Rows rows)
{
    if (layout_ == Layout::mediaproxy)
        return transaction(rows, Look::first);
    SqlOutcome outcome = transaction(rows, Look::none);
    return outcome.fault == Fault::duplicate ? transaction(rows, Look::first) : outcome;
}

SqlOutcome RecordTable::write_one(RecordRow& row)
{
    SqlOutcome outcome = write_batch({&row, 1});
    if (outcome.fault == Fault::record && !row.is_ascii()) {
        const std::string refused = std::move(outcome.message);
        row.become_ascii();
        outcome = write_batch({&row, 1});
        if (outcome.ok())
            warn_once("ascii", "takes no such characters as record " + row.record_id + " has (" +
                                   refused + "): they are ? in the columns and \\u in " +
                                   names_.info);
    }
    if (outcome.fault == Fault::duplicate)
        outcome = write_beside_others(row);
    if (outcome.fault == Fault::record || outcome.fault == Fault::duplicate)
        outcome.message = "record " + row.record_id + ": " + outcome.message;
    return outcome;
}

SqlOutcome RecordTable::write_beside_others(RecordRow& row)
{
    warn_once("conflict",
              "it already has call " + row.call_id + " with these tags: record " + row.record_id +
                  " is kept with a number behind its to_tag, and so are others like it");
    const std::string to_tag = row.to_tag;
    unsigned last = 1;
    SqlOutcome outcome = find_last_number(row, last);
    if (!outcome.ok())
        return outcome;
    for (unsigned number = last + 1; number <= last + most_attempts; ++number) {
        const std::string suffix = "#" + std::to_string(number);
        row.to_tag = std::string(cut(to_tag, sizes_.to_tag - suffix.size())) + suffix;
        outcome = transaction({&row, 1}, Look::none);
        if (outcome.fault != Fault::duplicate)
            return outcome;
    }
    return outcome;
}

SqlOutcome RecordTable::find_last_number(const RecordRow& row, unsigned& number)
{
    SqlResult found;
    const SqlValue key[] = {text(row.call_id), text(row.from_tag)};
    SqlOutcome outcome = driver_->run(text_.find_to_tags(), key, &found);
    for (const auto& columns : found.rows)
        number = std::max(number, number_behind(row.to_tag, columns.at(0).value_or("")));
    return outcome;
}

SqlOutcome RecordTable::transaction(Rows rows, Look look)
{
    std::set<std::string> written;
    SqlOutcome outcome = driver_->begin();
    if (outcome.ok() && look == Look::first)
        outcome = find_written(rows, written);
    std::vector<const RecordRow*> missing;
    for (const RecordRow& row : rows)
        if (written.insert(row.record_id).second)
            missing.push_back(&row);
    if (outcome.ok())
        outcome = insert(missing);
    if (outcome.ok())
        outcome = driver_->commit();
    if (!outcome.ok())
        driver_->rollback();
    return outcome;
}

SqlOutcome RecordTable::find_written(Rows rows, std::set<std::string>& written)
{
    SqlOutcome outcome;
    while (outcome.ok() && !rows.empty()) {
        const Rows some = rows.first(std::min(rows.size(), driver_->dialect().rows_per_statement));
        std::vector<SqlValue> values;
        for (const RecordRow& row : some)
            values.push_back(text(layout_ == Layout::ours ? row.record_id : row.call_id));
        if (layout_ == Layout::mediaproxy)
            for (const RecordRow& row : some)
                values.push_back(text(row.from_tag));
        SqlResult found;
        outcome = driver_->run(layout_ == Layout::ours ? text_.find_records(some.size())
                                                       : text_.find_infos(some.size()),
                               values, &found);
        for (const auto& columns : found.rows) {
            const std::string value = columns.at(0).value_or("");
            written.emplace(layout_ == Layout::ours ? value : record_id_of(value));
        }
        rows = rows.subspan(some.size());
    }
    return outcome;
}

SqlOutcome RecordTable::insert(std::span<const RecordRow* const> rows)
{
    SqlOutcome outcome;
    while (outcome.ok() && !rows.empty()) {
        const std::size_t count = rows_that_fit(rows, driver_->dialect().rows_per_statement);
        std::vector<SqlValue> values;
        for (const RecordRow* row : rows.first(count))
            row->append_values(layout_, values);
        outcome = driver_->run(text_.insert(layout_, count), values, nullptr);
        rows = rows.subspan(count);
    }
    return outcome;
}

} // namespace mediaproxy::plugin_support
