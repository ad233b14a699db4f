// SPDX-License-Identifier: GPL-2.0-or-later
#include "netns.hpp"

#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

namespace media_load
{
namespace
{

constexpr auto own = "/proc/thread-self/ns/net";

int open_namespace(const std::string& path)
{
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        throw std::system_error(errno, std::generic_category(), path);
    return fd;
}

} // namespace

Netns::Netns(const std::string& path) : fd_(open_namespace(path.empty() ? own : path))
{
}

Netns::~Netns()
{
    close(fd_);
}

Netns::Visit::Visit(const Netns& place) : home_(open_namespace(own))
{
    if (setns(place.fd_, CLONE_NEWNET) == 0)
        return;
    const int problem = errno;
    close(home_);
    throw std::system_error(problem, std::generic_category(), "cannot enter the namespace");
}

Netns::Visit::~Visit()
{
    setns(home_, CLONE_NEWNET);
    close(home_);
}

std::map<std::string, std::uint64_t> Netns::dropped() const
{
    const Visit visit(*this);
    std::map<std::string, std::uint64_t> result{{"bad_checksum", 0}, {"queue_full", 0}};
    const auto add = [&result](const std::string& name, std::uint64_t value) {
        if (name.ends_with("InCsumErrors"))
            result["bad_checksum"] += value;
        if (name.ends_with("RcvbufErrors"))
            result["queue_full"] += value;
    };
    std::ifstream six("/proc/thread-self/net/snmp6");
    std::string name;
    for (std::uint64_t value = 0; six >> name >> value;)
        if (name.starts_with("Udp6"))
            add(name, value);
    std::ifstream four("/proc/thread-self/net/snmp");
    for (std::string heading, line; std::getline(four, heading) && std::getline(four, line);) {
        if (!heading.starts_with("Udp:"))
            continue;
        std::istringstream names(heading), values(line);
        std::string label;
        names >> name;
        values >> label;
        for (std::uint64_t value = 0; names >> name && values >> value;)
            add(name, value);
    }
    return result;
}

} // namespace media_load
