// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstddef>
#include <memory>

#include <netinet/in.h>
#include <sys/socket.h>

#include "flow.hpp"
#include "host_link.hpp"
#include "settings.hpp"

namespace forwarding_userspace
{

/// Sends one datagram from `out`'s socket to its party; what the network refuses is gone.
void send_packet(const Leg& out, const void* data, std::size_t size);

/// Reads many packets of one socket at once (recvmmsg, UDP_GRO) and sends runs of equal size with
/// one UDP_SEGMENT call. Pays for a fat leg only. Its buffers hold the largest datagram.
class BurstPath
{
public:
    BurstPath(HostLink host, Gso gso);

    /// Turns a leg to bursts. Nobody else may be reading its socket.
    void enter(Leg& leg) const;

    struct Visit {
        unsigned packets;
        RateMeter::Verdict verdict; ///< advice
    };
    /// Reads and forwards once, about 64 packets at most.
    Visit serve(Leg& leg, std::uint64_t visit, std::int64_t now);

    /// Turns a leg back to plain datagrams. What the kernel has already joined cannot be left in
    /// the socket, so it is forwarded here.
    void leave(Leg& leg, std::int64_t now);

    /// Room for one datagram of any size, for those who read packet by packet.
    std::span<std::byte> scratch() { return {slot(0), slot_size}; }

private:
    static constexpr unsigned slots = 64;
    static constexpr std::size_t slot_size = 65536;
    // Not a power of two, else the first bytes of all slots share one set of the cache.
    static constexpr std::size_t slot_stride = slot_size + 5 * 64;
    static constexpr unsigned most_segments = 64; // UDP_MAX_SEGMENTS of older kernels
    static constexpr std::size_t most_bytes = 65000;

    struct Control {
        alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> bytes;
    };
    std::byte* slot(unsigned index) { return buffers_.get() + index * slot_stride; }
    void prepare(unsigned index);
    enum class Emptied { yes, nearly, not_by_far };

    Emptied leave_if_empty(Leg& leg, std::int64_t now);
    unsigned fetch(const Leg& leg, unsigned most);
    unsigned deliver(Leg& leg, unsigned messages, std::int64_t now);
    unsigned take(Leg& leg, unsigned index, std::int64_t now);
    void add(Leg& out, std::byte* data, std::size_t size, std::size_t segment, unsigned segments);
    void flush(Leg& out);
    bool send_joined(const Leg& out);
    void send_singly(const Leg& out);

    HostLink host_;
    Gso gso_;
    std::unique_ptr<std::byte[]> buffers_;
    std::array<mmsghdr, slots> messages_{};
    std::array<iovec, slots> parts_{};
    std::array<SocketAddress, slots> sources_;
    std::array<Control, slots> controls_{};

    // The run that waits to be sent.
    std::array<iovec, slots> run_{};
    unsigned run_parts_ = 0;
    unsigned run_segments_ = 0;
    std::size_t run_bytes_ = 0;
    std::size_t run_segment_ = 0;
    bool run_closed_ = false; ///< its last segment is short: nothing may follow
};

} // namespace forwarding_userspace
