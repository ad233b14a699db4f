// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "base/unique_fd.hpp"
#include "relay/local_addresses.hpp"
#include "relay/media_poller.hpp"
#include "relay/options.hpp"
#include "relay/unbound_ports.hpp"
#include "session/types.hpp"

namespace mediaproxy::relay
{

/// Lends pairs of bound UDP sockets, an even port and the odd one above it. Sockets are made when
/// they are first needed and then recycled (making four of them costs more than all the rest of a
/// call): they stay bound and watched while nobody owns them, what arrives then is dropped, and
/// they are drained before their next use. A pair that was given back, or that somebody still sends
/// to, rests for a while, unless all others are in use; among those that rested longest the next
/// one is chosen at random.
/// [core thread]
class PortPool final : public session::PortSource
{
public:
    struct Limits {
        std::size_t sockets = 4096;         ///< descriptors that media may use
        std::size_t most_idle_pairs = 2048; ///< above it, pairs are used again before they rested
        std::size_t reserve_pairs = 16;     ///< bound ahead of need, for each address in use
        Milliseconds rest{2000};
        Milliseconds shrink_interval{5000};
        Milliseconds set_aside{10000}; ///< until a port that somebody else has is tried again
    };
    PortPool(asio::io_context& io, MediaPoller& poller, LocalAddresses addresses, PortRange range,
             std::vector<net::Endpoint> control_addresses, Limits limits);
    ~PortPool() override;

    Result<session::LocalAddress> local_address(net::Family family,
                                                const net::Address& toward) override;
    Result<session::PortPair> acquire(const session::LocalAddress& local, session::Stream& owner,
                                      session::Party party) override;
    void release(const session::PortPair& pair) noexcept override;
    session::SocketRole lent_at(const net::Endpoint& endpoint) const noexcept override;
    bool is_control(const net::Endpoint& endpoint) const noexcept override;

    /// Whose packets arrive there; no stream while the pair is not lent.
    session::SocketRole role(SocketId id) const noexcept;
    /// Something came there, and nobody owns the pair: it is not lent soon.
    void on_unowned(SocketId id, TimePoint now) noexcept;
    /// -1 when there is no such socket.
    int fd(SocketId id) const noexcept;
    const LocalAddresses& addresses() const noexcept { return addresses_; }

    std::size_t lent_pairs() const noexcept { return lent_; }
    std::size_t bound_pairs() const noexcept { return bound_; }

    /// Stops the timers; nothing of the loop refers to the pool any more.
    void stop();

private:
    using SlotNumber = std::uint32_t;
    struct Slot;
    struct Pool;

    std::size_t pair_number(net::Port port) const noexcept { return (port - range_.first) / 2U; }
    Pool& pool_of(const net::Address& bind);
    Result<SlotNumber> take(Pool& pool, TimePoint now);
    Result<SlotNumber> bind_pair(Pool& pool, TimePoint now);
    Result<void> open_pair(const Pool& pool, UniqueFd& rtp, UniqueFd& rtcp);
    Result<SlotNumber> open_slot(Pool& pool, net::Port port, UniqueFd rtp, UniqueFd rtcp);
    bool has_rested(SlotNumber number, TimePoint now) const noexcept;
    SlotNumber pick_warm(Pool& pool, std::vector<SlotNumber>::iterator which);
    void put_noisy_back(Pool& pool, TimePoint now);
    std::optional<SlotNumber> pick_rested(Pool& pool, TimePoint now);
    SlotNumber pick_any(Pool& pool);
    std::size_t drain(SlotNumber number) noexcept;
    bool make_room(const Pool& pool);
    void close_slot(SlotNumber number) noexcept;
    void refill_later(std::size_t pool_index);
    void refill(std::size_t pool_index);
    void shrink_later();
    void shrink();

    asio::io_context& io_;
    MediaPoller& poller_;
    LocalAddresses addresses_;
    PortRange range_;
    std::vector<net::Endpoint> control_addresses_;
    Limits limits_;
    std::mt19937 random_;
    asio::steady_timer shrink_timer_;
    std::shared_ptr<PortPool*> alive_; ///< for what is posted: null when the pool is gone
    std::vector<Slot> slots_;
    std::vector<SlotNumber> vacant_;           ///< slots without sockets
    std::vector<std::unique_ptr<Pool>> pools_; ///< one a local address
    std::size_t bound_ = 0, lent_ = 0;
    TimePoint started_;
};

/// How many descriptors this process may open, after raising the soft limit to the hard one.
std::size_t raise_descriptor_limit() noexcept;

/// Streams that fit: four ports a stream, two of them at one address.
struct Capacity {
    std::size_t by_ports = 0;
    std::size_t by_descriptors = 0;
};
Capacity capacity(PortRange range, std::size_t sockets) noexcept;

} // namespace mediaproxy::relay
