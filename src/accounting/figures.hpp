// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/time.hpp"

namespace mediaproxy::accounting
{

/// How it stands with one back end and its records.
struct BackEndFigures {
    enum class State {
        active,
        failing,        ///< is tried again and again
        not_loaded,     ///< its plugin cannot be loaded
        not_configured, ///< records of an earlier configuration
    };
    std::string name; ///< "accounting.NAME"
    State state = State::active;
    std::uint64_t waiting = 0;         ///< records
    std::optional<Seconds> oldest_age; ///< of the record that waits longest
    std::uint64_t parked = 0;          ///< refused records
    std::string last_error;            ///< why it fails, or the last record was refused
};

struct Figures {
    std::vector<BackEndFigures> back_ends;
    std::uint64_t in_memory = 0; ///< records that the spool has not taken yet
    std::string alarm;           ///< why it does not take them in time; empty: it does
};

} // namespace mediaproxy::accounting
