// SPDX-License-Identifier: GPL-2.0-or-later
#include "backend.hpp"

#include <cstdio>
#include <optional>
#include <string>

#include "socket_options.hpp"

namespace forwarding_userspace
{
namespace
{

constexpr std::uint32_t ipv4_headers = 20 + 8;
constexpr std::uint32_t ipv6_headers = 40 + 8;

mp_status refuse(mp_error& error, const mp_flow& flow, const char* reason)
{
    std::snprintf(error.message, sizeof error.message, "flow %llu: %s",
                  static_cast<unsigned long long>(flow.id), reason);
    return MP_E_INVALID;
}

/// A link-local party is on the link that our own, link-local socket is bound to.
std::uint32_t scope_of(int fd)
{
    SocketAddress bound;
    if (getsockname(fd, &bound.any, &bound.size) != 0 || bound.any.sa_family != AF_INET6)
        return 0;
    return bound.v6.sin6_scope_id;
}

std::optional<Move::Side> check_side(const mp_endpoint& local, const mp_endpoint& remote, int fd)
{
    auto address = to_socket_address(remote);
    if (!address || local.family != remote.family || remote.port == 0 || fd < 0)
        return std::nullopt;
    if (address->any.sa_family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&address->v6.sin6_addr))
        address->v6.sin6_scope_id = scope_of(fd);
    return Move::Side{fd, *address, remote.family == 4 ? ipv4_headers : ipv6_headers};
}

/// Checks a flow and sets its socket options.
mp_status prepare(const mp_flow& flow, Move& move, mp_error& error)
{
    const auto caller = check_side(flow.caller_local, flow.caller_remote, flow.caller_fd);
    if (!caller)
        return refuse(error, flow, "the caller's endpoints or socket are not usable");
    const auto callee = check_side(flow.callee_local, flow.callee_remote, flow.callee_fd);
    if (!callee)
        return refuse(error, flow, "the callee's endpoints or socket are not usable");
    move.sides = {*caller, *callee};
    const mp_status status = apply_options(flow.caller_fd, flow, flow.caller_remote.family, error);
    if (status != MP_OK)
        return status;
    return apply_options(flow.callee_fd, flow, flow.callee_remote.family, error);
}

} // namespace

std::unique_ptr<Backend> Backend::create(HostLink host, const Settings& settings, mp_error& error)
{
    std::unique_ptr<Backend> backend(new Backend(host));
    const char* engine = "epoll";
    bool started = false;
    if (settings.engine != EngineChoice::epoll) {
        started = backend->start_workers(settings, make_uring_engine, error);
        engine = started ? "io_uring" : engine;
    }
    if (!started && settings.engine == EngineChoice::io_uring)
        return nullptr;
    if (!started && settings.engine == EngineChoice::automatic)
        host.log(MP_LOG_INFO, (std::string("using epoll: ") + error.message).c_str());
    if (!started && !backend->start_workers(settings, make_epoll_engine, error))
        return nullptr;
    host.log(MP_LOG_INFO,
             ("forwarding in " + std::to_string(settings.threads) + " threads, engine " + engine)
                 .c_str());
    return backend;
}

bool Backend::start_workers(const Settings& settings, Worker::EngineFactory factory,
                            mp_error& error)
{
    for (unsigned i = 0; i < settings.threads; ++i) {
        auto worker = Worker::start(host_, settings.gso, factory, i, error);
        if (worker == nullptr) {
            workers_.clear();
            return false;
        }
        workers_.push_back(std::move(worker));
    }
    return true;
}

mp_status Backend::install(std::span<const mp_flow* const> flows, mp_status* each, mp_error& error)
{
    mp_status first = MP_OK;
    for (std::size_t i = 0; i < flows.size(); ++i) {
        mp_error problem{};
        each[i] = install_one(*flows[i], problem);
        if (each[i] == MP_OK || first != MP_OK)
            continue;
        first = each[i];
        error = problem;
    }
    for (const auto& worker : workers_)
        worker->notify_if_posted();
    return first;
}

mp_status Backend::install_one(const mp_flow& flow, mp_error& error)
{
    if (flows_.contains(flow.id))
        return refuse(error, flow, "is installed already");
    Move move{};
    if (const mp_status status = prepare(flow, move, error); status != MP_OK)
        return status;
    auto made = std::make_unique<Flow>(flow.id);
    made->move_to(move);
    worker_of(flow.id).post({Command::Kind::install, made.get()});
    flows_.emplace(flow.id, std::move(made));
    return MP_OK;
}

mp_status Backend::replace(const mp_flow& flow, mp_flow_reading& until_now, mp_error& error)
{
    const auto found = flows_.find(flow.id);
    if (found == flows_.end())
        return refuse(error, flow, "is not installed");
    Move move{};
    if (const mp_status status = prepare(flow, move, error); status != MP_OK)
        return status;
    Worker& worker = worker_of(flow.id);
    const auto ticket =
        worker.post({Command::Kind::replace, found->second.get(), &move, &until_now});
    worker.notify_if_posted();
    worker.await(ticket);
    return MP_OK;
}

mp_status Backend::remove(std::span<const mp_flow_id> ids, mp_flow_reading* finals, mp_error& error)
{
    mp_status status = MP_OK;
    removed_.clear();
    awaited_.clear();
    for (std::size_t i = 0; i < ids.size(); ++i) {
        finals[i] = {ids[i], {}, {}, -1, -1};
        auto found = flows_.extract(ids[i]);
        if (found.empty()) {
            std::snprintf(error.message, sizeof error.message, "flow %llu: is not installed",
                          static_cast<unsigned long long>(ids[i]));
            status = MP_E_INVALID;
            continue;
        }
        Worker& worker = worker_of(ids[i]);
        const auto ticket =
            worker.post({Command::Kind::remove, found.mapped().get(), nullptr, &finals[i]});
        awaited_.push_back({&worker, ticket});
        removed_.push_back(std::move(found.mapped()));
    }
    for (const auto& worker : workers_)
        worker->notify_if_posted();
    for (const Awaited& each : awaited_)
        each.worker->await(each.ticket);
    removed_.clear();
    return status;
}

void Backend::read(std::uint64_t request)
{
    auto shared = std::make_shared<ReadRequest>();
    shared->number = request;
    shared->unanswered = static_cast<unsigned>(workers_.size());
    for (const auto& worker : workers_)
        worker->post({Command::Kind::read, nullptr, nullptr, nullptr, shared});
    for (const auto& worker : workers_)
        worker->notify_if_posted();
}

} // namespace forwarding_userspace
