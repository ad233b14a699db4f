// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>

#include <linux/netlink.h>

namespace forwarding_test
{

/// How the kernel may answer a dump badly.
enum class BadDump {
    refused,     ///< an error instead of it
    given_up,    ///< an error at its end, after some of it
    interrupted, ///< parts of it went missing, as something changed meanwhile
};

/// Between this process (plugins included) and the kernel, on netlink sockets: counts what is sent
/// to nf_tables and spoils answers. One at a time, and the thread that made it alone talks.
class NetlinkTap
{
public:
    NetlinkTap();
    ~NetlinkTap();
    NetlinkTap(const NetlinkTap&) = delete;
    NetlinkTap& operator=(const NetlinkTap&) = delete;

    /// From now on dumps of this type (NFT_MSG_GET*) come out so.
    void spoil(std::uint16_t type, BadDump how);
    /// Messages of this type (NFT_MSG_*) that were sent; dumps do not count.
    std::size_t sent(std::uint16_t type) const;

    // For the functions that stand in for those of the C library.
    static NetlinkTap* present();
    void on_request(std::span<const std::byte> messages);
    std::size_t on_answer(std::byte* messages, std::size_t size);

private:
    std::map<std::uint16_t, std::size_t> sent_;
    std::map<std::uint16_t, BadDump> bad_types_;
    std::map<std::uint32_t, BadDump> bad_dumps_; ///< by sequence number
};

} // namespace forwarding_test
