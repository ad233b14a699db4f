// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdio>
#include <exception>
#include <filesystem>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

#include "plugin_host.hpp"

namespace forwarding_test
{

constexpr std::uint64_t ipv4_headers = 28;
constexpr std::uint64_t ipv6_headers = 48;

inline SettingList engine(const std::string& name, const SettingList& more = {})
{
    SettingList result{{"engine", name}, {"threads", "1"}};
    result.insert(result.end(), more.begin(), more.end());
    return result;
}

inline std::size_t open_descriptors()
{
    std::size_t count = 0;
    for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator("/proc/self/fd"))
        ++count;
    return count;
}

/// Runs `body` in a process of its own, which ends when it hangs; tells what it returned.
template <typename Body>
bool in_a_process(Body&& body)
{
    constexpr unsigned patience = 30; // s
    const pid_t child = fork();
    if (child == 0) {
        alarm(patience);
        try {
            _exit(body() ? 0 : 1);
        } catch (const std::exception& problem) {
            std::fprintf(stderr, "%s\n", problem.what());
            _exit(1);
        }
    }
    int status = -1;
    waitpid(child, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

} // namespace forwarding_test
