// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "accounting/figures.hpp"

namespace mediaproxy::dispatcher
{

/// The member `accounting` of a relay's summary: what waits for each back end.
std::string to_json(const accounting::Figures& figures);

/// What the command `accounting` answers: an object for the spool, and one for each back end.
std::string spool_to_json(const accounting::Figures& figures);
std::string to_json(const accounting::BackEndFigures& back_end);

} // namespace mediaproxy::dispatcher
