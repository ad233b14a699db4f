// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include <sys/un.h>

/// What benchmarks of the control socket share: requests as a SIP proxy's module writes them.
namespace bench_control
{

using Clock = std::chrono::steady_clock;

/// Ends the program with what errno says.
[[noreturn]] void die(const char* what);

sockaddr_un address_of(const char* path);
int connect_to(const char* path);

/// `media` is an IPv4 address, also that of the signaling.
std::string update_text(const char* type, const std::string& call, const char* to_tag,
                        const std::string& media, int port);
std::string remove_text(const std::string& call);

double percentile(std::vector<float>& values, double share);

} // namespace bench_control
