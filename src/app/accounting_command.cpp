// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/accounting_command.hpp"

#include <algorithm>
#include <vector>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/text.hpp"
#include "protocol/session_report.hpp"
#include "store/clock.hpp"
#include "store/dead_letters.hpp"

namespace mediaproxy::app
{

namespace
{

using store::DeadLetters;
using Print = std::function<void(std::string_view line)>;
using Verb = CommandLine::Accounting::Verb;

constexpr std::string_view prefix = "accounting.";

std::vector<std::string> configured(const config::Config& config)
{
    std::vector<std::string> names;
    for (const std::string& name : config.dispatcher.accounting)
        names.push_back(fmt::format("{}{}", prefix, name));
    return names;
}

bool contains(const std::vector<std::string>& names, std::string_view name)
{
    return std::find(names.begin(), names.end(), name) != names.end();
}

std::string date(std::int64_t milliseconds)
{
    const auto seconds = static_cast<std::time_t>(milliseconds / 1000);
    return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(seconds));
}

std::string call_of(std::string_view body)
{
    const auto report = protocol::parse_report(body);
    return report ? text::printable(report->call_id, 80) : "(not readable)";
}

/// NAME and accounting.NAME are the same.
Result<std::string> full_name(const std::string& given, const std::vector<std::string>& known,
                              const std::vector<store::Store::Count>& counts)
{
    if (given.empty())
        return given;
    std::string name = given.starts_with(prefix) ? given : fmt::format("{}{}", prefix, given);
    const bool has_records = std::any_of(counts.begin(), counts.end(),
                                         [&](const auto& count) { return count.backend == name; });
    if (has_records || contains(known, name))
        return name;
    return Error{Error::Code::not_found,
                 fmt::format("{}: no such back end, and no records of one", text::printable(name))};
}

void print_count(const store::Store::Count& count, bool is_configured, const Print& print)
{
    const auto age = std::max<std::int64_t>(0, store::unstepped_time() - count.oldest) / 1000;
    print(fmt::format("{}: {} wait{}, {} refused{}", count.backend, count.waiting,
                      count.waiting > 0 ? fmt::format(" (the oldest for {} s)", age) : "",
                      count.parked, is_configured ? "" : "; not configured"));
}

Result<void> list(DeadLetters& letters, const DeadLetters::Which& which,
                  const std::vector<std::string>& known,
                  const std::vector<store::Store::Count>& counts, const Print& print)
{
    for (const store::Store::Count& count : counts) {
        if (which.backend.empty() || which.backend == count.backend)
            print_count(count, contains(known, count.backend), print);
    }
    return letters.each(which, known, [&](const DeadLetters::Letter& letter) {
        print(fmt::format("{}  {}  {}  {}  {}", letter.backend, letter.record_id,
                          date(letter.made_at), call_of(letter.body),
                          letter.refused ? text::printable(letter.reason, 400)
                                         : "its back end is not configured"));
    });
}

/// The record as it is, unless it is no JSON: then as a text.
std::string as_json(std::string_view body)
{
    if (protocol::parse_report(body))
        return std::string(body);
    std::string out;
    protocol::append_json_string(out, body);
    return out;
}

Result<void> save(DeadLetters& letters, const DeadLetters::Which& which,
                  const std::vector<std::string>& known, const Print& print)
{
    return letters.each(which, known, [&](const DeadLetters::Letter& letter) {
        std::string line = "{\"back_end\": ";
        protocol::append_json_string(line, letter.backend);
        line += ", \"record_id\": ";
        protocol::append_json_string(line, letter.record_id);
        line += fmt::format(", \"made_at\": \"{}\", \"refused\": ", date(letter.made_at));
        if (letter.refused)
            protocol::append_json_string(line, letter.reason);
        else
            line += "null";
        print(line + ", \"record\": " + as_json(letter.body) + "}");
    });
}

Result<void> retry(DeadLetters& letters, const DeadLetters::Which& which, const Print& print)
{
    const auto count = letters.retry(which);
    if (!count)
        return count.error();
    if (*count == 0 && !which.record_id.empty())
        return Error{Error::Code::not_found,
                     fmt::format("{}: {} has refused no record of that name",
                                 text::printable(which.record_id), which.backend)};
    print(fmt::format("{} records will be tried again", *count));
    return {};
}

} // namespace

std::string dispatcher_store(const config::Config& config)
{
    return config.state_dir + "/mediaproxyd.sqlite";
}

Result<void> run_accounting(const CommandLine::Accounting& wanted, const config::Config& config,
                            const Print& print)
{
    if (config.store.spool == store::Options::Spool::memory)
        return Error{Error::Code::unsupported,
                     "[store] spool = \"memory\": records are known to the running daemon only; "
                     "ask its management interface for `accounting`"};
    auto letters = DeadLetters::open(dispatcher_store(config),
                                     wanted.verb == Verb::retry ? store::Connection::Access::write
                                                                : store::Connection::Access::read);
    if (!letters)
        return letters.error();
    const auto counts = letters->count();
    if (!counts)
        return counts.error();
    const std::vector<std::string> known = configured(config);
    const auto back_end = full_name(wanted.back_end, known, *counts);
    if (!back_end)
        return back_end.error();
    const DeadLetters::Which which{*back_end, wanted.record_id};
    switch (wanted.verb) {
    case Verb::list:
        return list(*letters, which, known, *counts, print);
    case Verb::retry:
        return retry(*letters, which, print);
    case Verb::save:
        break;
    }
    return save(*letters, which, known, print);
}

} // namespace mediaproxy::app
