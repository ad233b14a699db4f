// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <csignal>
#include <cstddef>
#include <map>
#include <string>
#include <vector>

namespace mediaproxy::conformance
{

/// What a plugin shares with the daemon's whole process, as it was at one moment.
class Surroundings
{
public:
    static Surroundings look();

    /// What is not as it was, a sentence each: signals, locale, working folder, umask, environment,
    /// descriptors of others.
    std::vector<std::string> find_changes(const Surroundings& earlier) const;
    /// Descriptors and threads that were not there.
    std::vector<std::string> find_leftovers(const Surroundings& earlier) const;

private:
    static constexpr std::size_t signals = 32; ///< 1 to 31, the classic ones

    std::map<int, std::string> descriptors_; ///< what each one is
    std::size_t threads_ = 0;
    std::array<struct sigaction, signals> actions_{};
    sigset_t blocked_{};
    std::string locale_, folder_;
    unsigned umask_ = 0;
    std::vector<std::string> environment_;
};

} // namespace mediaproxy::conformance
