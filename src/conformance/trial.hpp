// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "conformance/notes.hpp"
#include "conformance/stage.hpp"
#include "conformance/subject.hpp"

namespace mediaproxy::conformance
{

/// What a check came to.
struct Trial {
    std::vector<Finding> findings;
    std::string output; ///< what the plugin wrote to standard output and standard error
};

/// Makes the check in a process of its own: a plugin that crashes, hangs or ends the process is a
/// sentence in the findings. The calling process must have one thread. An error is one of this
/// machine, not of the plugin.
Result<Trial> try_out(const std::function<void(Stage&)>& check, const Subject& subject);

} // namespace mediaproxy::conformance
