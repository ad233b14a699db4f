// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <span>
#include <unordered_map>
#include <vector>

#include "flow.hpp"
#include "host_link.hpp"
#include "settings.hpp"
#include "worker.hpp"

namespace forwarding_userspace
{

/// One instance of the back end: knows all flows by id and which worker has each. [core-thread]
class Backend
{
public:
    /// Nothing when no engine can be had; `error` says why.
    static std::unique_ptr<Backend> create(HostLink host, const Settings& settings,
                                           mp_error& error);

    mp_status install(std::span<const mp_flow* const> flows, mp_status* each, mp_error& error);
    mp_status replace(const mp_flow& flow, mp_flow_reading& until_now, mp_error& error);
    mp_status remove(std::span<const mp_flow_id> ids, mp_flow_reading* finals, mp_error& error);
    void read(std::uint64_t request);

private:
    explicit Backend(HostLink host) : host_(host) {}

    mp_status install_one(const mp_flow& flow, mp_error& error);
    Worker& worker_of(mp_flow_id id) { return *workers_[id % workers_.size()]; }
    bool start_workers(const Settings& settings, Worker::EngineFactory factory, mp_error& error);

    struct Awaited {
        Worker* worker;
        Worker::Ticket ticket;
    };

    HostLink host_;
    std::unordered_map<mp_flow_id, std::unique_ptr<Flow>> flows_;
    std::vector<std::unique_ptr<Flow>> removed_; ///< kept until their workers let go of them
    std::vector<Awaited> awaited_;
    std::vector<std::unique_ptr<Worker>> workers_; ///< last: they use the flows until joined
};

} // namespace forwarding_userspace
