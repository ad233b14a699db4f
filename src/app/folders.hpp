// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/unique_fd.hpp"
#include "config/config.hpp"

namespace mediaproxy::app
{

/// Makes the folder and those above it, if it is missing.
Result<void> make_folder(const std::string& path, unsigned mode);

/// The same, and makes it the working directory, below which plugins find relative paths, in the
/// background and not.
Result<void> enter_folder(const std::string& path, unsigned mode);

/// Keeps a second daemon of the same role out of a runtime folder: a locked file for each role,
/// dispatcher.lock and relay.lock, with the process id in it. Released by the destructor and by the
/// death of the process.
class RoleLock
{
public:
    static Result<RoleLock> take(const std::string& runtime_dir, config::Role role);

private:
    std::vector<UniqueFd> files_;
};

} // namespace mediaproxy::app
