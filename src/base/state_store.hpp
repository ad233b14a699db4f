// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace mediaproxy
{

/// What a role wants to know again after a restart: small texts by key, in named tables. Saving
/// never waits for the disk; what was saved last wins, and what is erased soon after it was saved
/// never reaches it. The application puts its store behind this. [core thread]
class StateStore
{
public:
    using Each = std::function<void(std::string_view key, std::string_view value)>;
    virtual ~StateStore() = default;

    virtual void save(std::string_view table, std::string_view key, std::string value) = 0;
    virtual void erase(std::string_view table, std::string_view key) = 0;
    /// At start only: it may read the disk.
    virtual Result<void> load_all(std::string_view table, const Each& each) = 0;
};

} // namespace mediaproxy
