// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string_view>

#include "app/command_line.hpp"
#include "base/log.hpp"
#include "config/config.hpp"

namespace mediaproxy::app
{

std::string_view to_string(log::Level level) noexcept;

/// Time, level and line on standard error.
log::Sink standard_error_sink();
/// Lines on standard error with the priority in front, as the journal reads them.
log::Sink journal_sink();
log::Sink syslog_sink();

/// Is standard error the journal's (JOURNAL_STREAM of systemd.exec(5)).
bool logs_to_journal();

log::Sink choose_sink(config::LogTarget target, CommandLine::Place place);

} // namespace mediaproxy::app
