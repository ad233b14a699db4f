// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <string>

#include "base/result.hpp"

namespace mediaproxy::store
{

/// Called between any two steps that change files: what a kill leaves there must be mended by the
/// next start. For tests.
using BetweenSteps = std::function<void()>;

/// Where the new file is made, next to the damaged one that keeps the name `path` meanwhile.
std::string unfinished_name(const std::string& path);
/// A copy of the damaged file, to read from.
std::string copy_name(const std::string& path);
/// With its WAL and index, where there are any.
void remove_database(const std::string& path);

/// Sets the file at `path` aside, under a name that tells when and that nothing has yet, and puts
/// the one at unfinished_name(), which must be complete and closed, in its place. Returns the name.
Result<std::string> swap_in_finished(const std::string& path, const BetweenSteps& between);

/// For an open, before the file is looked at: brings a swap that was interrupted to its end, and
/// removes what an interrupted salvage left. Returns under which name the damaged file was set
/// aside; empty: no swap was interrupted.
Result<std::string> settle_swap(const std::string& path, const BetweenSteps& between = {});

} // namespace mediaproxy::store
