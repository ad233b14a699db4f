// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/accounting_json.hpp"

#include <fmt/format.h>

#include "protocol/session_report.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

using State = accounting::BackEndFigures::State;

std::string_view to_string(State state) noexcept
{
    switch (state) {
    case State::active:
        return "active";
    case State::failing:
        return "failing";
    case State::not_loaded:
        return "not loaded";
    case State::not_configured:
        break;
    }
    return "not configured";
}

std::string quoted(std::string_view text)
{
    std::string out;
    protocol::append_json_string(out, text);
    return out;
}

std::string quoted_or_null(std::string_view text)
{
    return text.empty() ? "null" : quoted(text);
}

std::string depth(const accounting::BackEndFigures& back_end)
{
    return fmt::format("\"waiting\": {}, \"oldest_age\": {}, \"parked\": {}", back_end.waiting,
                       back_end.oldest_age ? fmt::to_string(back_end.oldest_age->count()) : "null",
                       back_end.parked);
}

} // namespace

std::string to_json(const accounting::Figures& figures)
{
    std::string out = fmt::format("{{\"in_memory\": {}, \"alarm\": {}, \"back_ends\": {{",
                                  figures.in_memory, quoted_or_null(figures.alarm));
    std::string_view between;
    for (const accounting::BackEndFigures& back_end : figures.back_ends) {
        out += fmt::format("{}{}: {{{}}}", between, quoted(back_end.name), depth(back_end));
        between = ", ";
    }
    return out + "}}";
}

std::string spool_to_json(const accounting::Figures& figures)
{
    return fmt::format("{{\"name\": \"spool\", \"in_memory\": {}, \"alarm\": {}}}",
                       figures.in_memory, quoted_or_null(figures.alarm));
}

std::string to_json(const accounting::BackEndFigures& back_end)
{
    return fmt::format("{{\"name\": {}, \"state\": \"{}\", {}, \"last_error\": {}}}",
                       quoted(back_end.name), to_string(back_end.state), depth(back_end),
                       quoted_or_null(back_end.last_error));
}

} // namespace mediaproxy::dispatcher
