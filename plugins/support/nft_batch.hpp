// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <linux/netlink.h>

#include "support/netlink_socket.hpp"

namespace mediaproxy::plugin_support
{

/// One nf_tables transaction: all of its messages take effect at once, or none. Its buffer is kept
/// from one transaction to the next.
class NftBatch
{
public:
    struct Refusal {
        int error;              ///< an errno
        std::uint32_t sequence; ///< of the message
    };
    struct Outcome {
        int error = 0;              ///< an errno; 0 = committed
        std::uint32_t sequence = 0; ///< of the first message that was refused; 0 = of none
        bool ok() const noexcept { return error == 0; }
    };

    explicit NftBatch(NetlinkSocket& socket);

    void begin();
    /// A message of `type` (NFT_MSG_*) for `family` (NFPROTO_*), to be filled before the next one,
    /// with at most `longest_message` bytes. NLM_F_REQUEST is set.
    nlmsghdr& add(std::uint16_t type, std::uint8_t family, std::uint16_t flags);
    /// Of the message that add() gave last.
    std::uint32_t sequence() const noexcept { return sequence_; }
    bool has_room() const noexcept { return size_ + 2 * longest_message <= capacity; }
    /// Carries the transaction out. `on_message` gets what NLM_F_ECHO and NLM_F_ACK ask for.
    Outcome commit(const NetlinkSocket::OnMessage& on_message = {});
    /// All messages that the last commit() was refused for: the kernel looks at every one.
    const std::vector<Refusal>& refusals() const noexcept { return refusals_; }

    static constexpr std::size_t longest_message = 64 << 10;

private:
    static constexpr std::size_t capacity = 1 << 20;

    void close_last() noexcept;

    NetlinkSocket& socket_;
    std::unique_ptr<std::byte[]> buffer_;
    std::size_t size_ = 0;
    nlmsghdr* last_ = nullptr; ///< its length is final once the next one begins
    std::uint32_t sequence_ = 0;
    std::vector<Refusal> refusals_;
};

} // namespace mediaproxy::plugin_support
