// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "engine.hpp"
#include "flow.hpp"
#include "host_link.hpp"
#include "support/unique_fd.hpp"

namespace forwarding_userspace
{

using mediaproxy::plugin_support::UniqueFd;

/// One read() over all workers; who answers last says so.
struct ReadRequest {
    std::uint64_t number;
    std::atomic<unsigned> unanswered;
};

/// What the core thread asks of a worker. Pointers stay valid until it is done.
struct Command {
    enum class Kind { install, replace, remove, read };
    Kind kind;
    Flow* flow = nullptr;
    const Move* move = nullptr;             ///< replace
    mp_flow_reading* reading = nullptr;     ///< replace, remove: totals at that moment
    std::shared_ptr<ReadRequest> request{}; ///< read
};

/// A thread with its engine and its share of the flows. The public functions are for one other
/// thread, the core thread.
///
/// Flows belong to the worker, so a packet needs no lock. Commands pass through a queue; the
/// worker looks at it between two packets. install and read are only queued. replace and remove
/// are awaited, because their totals must be final and the sockets are the host's again: that
/// takes at most the packet (or the 64 queued sends) under way and a wake-up.
class Worker
{
public:
    using Ticket = std::uint32_t;
    using EngineFactory = std::unique_ptr<Engine> (*)(const Engine::Environment&, mp_error&);

    /// Nothing when the engine cannot be made; `error` says why.
    static std::unique_ptr<Worker> start(HostLink host, Gso gso, EngineFactory factory,
                                         unsigned index, mp_error& error);
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    /// Joins the thread; sockets of flows still installed are left plain.
    ~Worker();

    /// Queues; it starts with notify_if_posted().
    Ticket post(Command command);
    void notify_if_posted();
    void await(Ticket ticket);

private:
    Worker(HostLink host, UniqueFd wake) : host_(host), wake_(std::move(wake)) {}

    void notify();
    void run(Gso gso, EngineFactory factory, mp_error& error);
    void loop();
    void execute_pending();
    void execute(const Command& command);
    void remove_all(std::size_t from);
    void replace(Flow& flow, const Move& move);
    void answer(ReadRequest& request);
    void forget(const Flow& flow);

    HostLink host_;
    UniqueFd wake_;
    std::unique_ptr<Engine> engine_; ///< made, used and destroyed on thread_

    std::mutex mutex_; ///< guards queued_
    std::vector<Command> queued_;
    std::atomic<bool> attention_{false}; ///< look at queued_
    std::atomic<bool> asleep_{false};
    std::atomic<bool> stopping_{false};
    std::atomic<Ticket> done_{0};
    std::atomic<bool> awaited_{false}; ///< the core thread sleeps until done_ moves
    std::atomic<int> ready_{0};        ///< 0 starting, 1 running, -1 no engine

    Ticket posted_ = 0;          ///< core thread's
    Ticket notified_ = 0;        ///< core thread's
    unsigned patience_ = 64;     ///< core thread's: how long await() spins
    std::vector<Command> taken_; ///< worker's
    std::vector<Flow*> flows_;   ///< worker's
    std::vector<Flow*> removing_;

    std::thread thread_;
};

} // namespace forwarding_userspace
