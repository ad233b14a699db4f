// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

#include "base/time.hpp"
#include "net/network.hpp"
#include "session/latch.hpp"

namespace mediaproxy::session
{

/// Timeouts and rules of all sessions of a relay; zero = off where the comment says so.
struct Rules {
    Seconds stream_timeout{90};
    Seconds on_hold_timeout{7200};
    Seconds answer_timeout{300};
    Seconds idle_timeout{120};
    Seconds max_session_duration{0}; ///< 0 = off
    bool allow_one_way = false;
    bool accelerate_rtcp = false;
    LearningPolicy learning_policy = LearningPolicy::first;
    std::vector<net::Network> routable_private_ranges;
    std::string relay_name;       ///< for the reports
    std::string record_id_prefix; ///< unique for this run of the relay
    bool tell_answered = false;   ///< somebody calls SessionTable::tell_answered() again and again
};

} // namespace mediaproxy::session
