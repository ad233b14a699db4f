// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string_view>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace mediaproxy::app
{

/// The way into the background, as daemon(7) asks for: two forks, a session of its own. The process
/// that was started ends only when the daemon serves (0) or has failed (1, with its reason on
/// standard error).
class Background
{
public:
    /// Returns in the daemon only. To be called before any thread is started.
    static Result<Background> enter();
    /// The daemon serves: lets the first process end well; standard streams are closed.
    void ready();
    /// The daemon does not come up: lets the first process say why.
    void failed(std::string_view why);

private:
    explicit Background(UniqueFd report) : report_(std::move(report)) {}
    UniqueFd report_;
};

} // namespace mediaproxy::app
