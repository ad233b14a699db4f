// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace media_load
{

/// A network namespace that the calling thread can enter for a while.
class Netns
{
public:
    /// `path` as in /run/netns/NAME; empty: the one that we are in. Throws std::system_error.
    explicit Netns(const std::string& path);
    ~Netns();
    Netns(const Netns&) = delete;
    Netns& operator=(const Netns&) = delete;

    /// The thread is in the namespace as long as this lives.
    class Visit
    {
    public:
        explicit Visit(const Netns& place);
        ~Visit();
        Visit(const Visit&) = delete;
        Visit& operator=(const Visit&) = delete;

    private:
        int home_;
    };

    /// Datagrams that the namespace itself threw away: bad checksums, full receive queues; both
    /// families.
    std::map<std::string, std::uint64_t> dropped() const;

private:
    int fd_;
};

} // namespace media_load
