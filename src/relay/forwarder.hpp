// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/time.hpp"
#include "relay/flow_backend.hpp"
#include "relay/media_poller.hpp"
#include "relay/port_pool.hpp"
#include "session/session_table.hpp"
#include "session/types.hpp"

namespace mediaproxy::relay
{

/// Who judges what a back end could not place.
class StrayJudge
{
public:
    virtual ~StrayJudge() = default;
    virtual void on_stray(SocketId id, const net::Endpoint& source,
                          std::span<const std::byte> data) = 0;
};

/// Moves flows that are learned on both sides to the forwarding back end and takes them back; asks
/// for their counters once a second. Without a back end, or when it refuses, packets stay with us:
/// slower, and one warning says so. [core thread]
class Forwarder final : public session::FastPath, public FlowEvents
{
public:
    Forwarder(asio::io_context& io, PortPool& ports, MediaPoller& poller);
    ~Forwarder() override;

    /// From now on flows are installed; `backend` may be null.
    void start(session::SessionTable& table, StrayJudge& strays,
               std::unique_ptr<FlowBackend> backend, Seconds orphan_timeout);
    /// Takes every flow back, many at once. Their packets go the slow path.
    void take_back_all();
    /// The same, and forgets the back end.
    void stop();

    /// The component of that socket is ready; installed with all others of this turn.
    void want(SocketId id);
    void install_wanted();

    mp_flow_reading uninstall(session::FlowId id) noexcept override;

    /// Calls `done` when the counters are as of now: at once when no flow is installed, at the
    /// latest after 100 ms.
    void refresh(std::function<void()> done);
    std::size_t flow_count() const noexcept { return flows_.size(); }
    bool has_backend() const noexcept { return backend_ != nullptr; }
    std::string_view backend_name() const noexcept { return backend_->name(); }

    void on_lost(session::FlowId id, std::uint32_t reason) override;
    void on_stray(session::FlowId id, session::Party side, const net::Endpoint& source,
                  std::span<const std::byte> data) override;
    void on_readings(std::uint64_t request, std::span<const mp_flow_reading> readings,
                     Piece piece) override;

private:
    struct Flow {
        std::uint32_t caller_slot = 0, callee_slot = 0;
        session::ComponentKind component = session::ComponentKind::rtp;
    };
    enum class Watch : std::uint8_t { ours, theirs };

    void install_soon();
    void install(std::span<session::SessionTable::FlowPlan> plans);
    std::size_t take_back(std::span<const session::FlowId> wanted, Seconds retry);
    void take_back_lost();
    void watch(const Flow& flow, Watch watch) noexcept;
    void warn_refused(std::string_view reason);
    void read_later();
    void read();
    void finish_refresh();

    asio::io_context& io_;
    PortPool& ports_;
    MediaPoller& poller_;
    session::SessionTable* table_ = nullptr;
    StrayJudge* strays_ = nullptr;
    std::unique_ptr<FlowBackend> backend_;
    std::uint32_t orphan_timeout_ms_ = 0;
    std::unordered_map<session::FlowId, Flow> flows_;
    std::vector<SocketId> wanted_;
    std::vector<session::FlowId> deleted_, failed_; ///< lost since the last turn of the loop
    asio::steady_timer read_timer_;
    asio::steady_timer refresh_timer_;
    std::uint64_t read_request_ = 0;
    std::uint64_t refresh_request_ = 0; ///< the newest read that somebody waits for
    std::vector<std::function<void()>> waiting_;
    std::uint64_t refused_ = 0; ///< since the last warning
    TimePoint warned_{};
    bool install_posted_ = false;
    std::shared_ptr<bool> alive_; ///< for what is posted
};

} // namespace mediaproxy::relay
