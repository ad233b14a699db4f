// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "session/flows.hpp"
#include "session/rules.hpp"

namespace mediaproxy::session
{

/// Live streams by media type.
class StreamCensus
{
public:
    void add(std::string_view type)
    {
        const auto found = count_.find(type);
        if (found != count_.end())
            ++found->second;
        else
            count_.emplace(type, 1);
    }
    void remove(std::string_view type) noexcept
    {
        const auto found = count_.find(type);
        if (found != count_.end() && --found->second == 0)
            count_.erase(found);
    }
    const std::map<std::string, std::uint64_t, std::less<>>& all() const noexcept { return count_; }

private:
    std::map<std::string, std::uint64_t, std::less<>> count_;
};

/// What all sessions of a table share.
struct Surroundings {
    Rules rules;
    PortSource& ports;
    Flows flows;
    StreamCensus live;
    std::uint64_t total_bytes = 0; ///< received from all parties, ended sessions included
};

/// `timeout` after `since`; never when it is zero, which is off.
inline TimePoint after(TimePoint since, Seconds timeout) noexcept
{
    if (timeout <= Seconds(0) || since >= TimePoint::max() - timeout)
        return TimePoint::max();
    return since + timeout;
}

} // namespace mediaproxy::session
