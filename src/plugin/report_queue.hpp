// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_set>
#include <vector>

#include <mediaproxy/forwarding.h>

namespace mediaproxy::plugin
{

/// What a forwarding back end reports, delivered on the core thread.
class ForwardingEvents
{
public:
    virtual ~ForwardingEvents() = default;
    /// `reason` is MP_FLOW_*. Once a batch, however often it was reported.
    virtual void on_lost(mp_flow_id id, std::uint32_t reason) = 0;
    /// A packet from a source that is not the flow's. `side` is MP_SIDE_*. The bytes are valid
    /// during the call. The flow may be gone already.
    virtual void on_stray(mp_flow_id id, std::uint32_t side, const mp_endpoint& from,
                          std::span<const std::byte> packet) = 0;
    /// A piece of the answer to read(); `last` ends it.
    enum class Piece { more, last };
    virtual void on_readings(std::uint64_t request, std::span<const mp_flow_reading> readings,
                             Piece piece) = 0;
};

/// Brings reports from any thread to the core thread, one post for all that wait. Strays are
/// dropped and counted when too many wait: the core thread is busy, and media must not fill memory.
class ReportQueue : public std::enable_shared_from_this<ReportQueue>
{
public:
    static constexpr std::size_t most_strays = 4096;
    // A long list holds up nobody else.
    static constexpr std::size_t readings_a_turn = 500;
    static constexpr std::size_t lost_a_turn = 200; ///< they are taken back together
    static constexpr std::size_t most_stray_bytes = 4UL * 1024 * 1024;

    /// `events` is borrowed until detach().
    ReportQueue(asio::io_context& io, ForwardingEvents& events);

    void lost(mp_flow_id id, std::uint32_t reason);
    void stray(mp_flow_id id, std::uint32_t side, const mp_endpoint& from,
               std::span<const std::byte> packet);
    void readings(std::uint64_t request, std::span<const mp_flow_reading> readings,
                  ForwardingEvents::Piece piece);

    /// Nothing is delivered any more. [core thread]
    void detach() noexcept { events_ = nullptr; }
    std::uint64_t strays_dropped() const;

private:
    struct Lost {
        mp_flow_id id;
        std::uint32_t reason;
    };
    struct Stray {
        mp_flow_id id;
        mp_endpoint from;
        std::uint32_t side;
        std::size_t offset, size;
    };
    struct Readings {
        std::uint64_t request;
        std::size_t offset, size;
        ForwardingEvents::Piece piece;
    };
    struct Batch {
        std::vector<Lost> lost;
        std::unordered_set<mp_flow_id> lost_ids;
        std::vector<Stray> strays;
        std::vector<std::byte> packets;
        std::vector<Readings> pieces;
        std::vector<mp_flow_reading> readings;
        bool has_any() const noexcept
        {
            return !lost.empty() || !strays.empty() || !pieces.empty();
        }
    };

    void post_once();
    void deliver();
    void deliver_lost();
    void deliver_strays();
    void deliver_readings();
    bool has_delivered() const noexcept
    {
        return next_lost_ == delivering_.lost.size() && next_piece_ == delivering_.pieces.size();
    }
    void clear_delivered();

    asio::io_context& io_;
    ForwardingEvents* events_;   ///< core thread only
    Batch delivering_;           ///< core thread only; its memory is used again
    std::size_t next_lost_ = 0;  ///< of `delivering_`, whose first ones have been delivered
    std::size_t next_piece_ = 0; ///< the same
    mutable std::mutex mutex_;
    Batch waiting_;
    bool posted_ = false;
    std::uint64_t strays_dropped_ = 0;
};

} // namespace mediaproxy::plugin
