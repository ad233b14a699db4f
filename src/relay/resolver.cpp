// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/resolver.hpp"

#include <algorithm>
#include <ares.h>
#include <arpa/nameser.h>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/steady_timer.hpp>
#include <cstring>
#include <fmt/core.h>
#include <map>
#include <netinet/in.h>

#include "base/time.hpp"
#include "relay/media_socket.hpp"

namespace mediaproxy::relay
{

namespace
{

constexpr int timeout_ms = 2000;
constexpr int tries = 2;

bool found_nothing(int status) noexcept
{
    return status == ARES_ENOTFOUND || status == ARES_ENODATA;
}

Error lookup_error(std::string_view name, int status)
{
    return Error{Error::Code::unavailable,
                 fmt::format("{} cannot be looked up: {}", name, ares_strerror(status))};
}

struct AddressQuery {
    std::string host;
    Resolver::AddressesHandler done;
};
struct ServiceQuery {
    std::string name;
    Resolver::ServicesHandler done;
};

void on_addresses(void* argument, int status, int, ares_addrinfo* result)
{
    const std::unique_ptr<AddressQuery> query(static_cast<AddressQuery*>(argument));
    const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> owned(result,
                                                                             ares_freeaddrinfo);
    if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED)
        return;
    std::vector<net::Address> addresses;
    if (status != ARES_SUCCESS && !found_nothing(status)) {
        query->done(lookup_error(query->host, status));
        return;
    }
    for (const auto* node = result ? result->nodes : nullptr; node; node = node->ai_next) {
        SocketAddress address;
        address.size = std::min<socklen_t>(node->ai_addrlen, sizeof address.storage);
        std::memcpy(&address.storage, node->ai_addr, address.size);
        if (const net::Address found = address.endpoint().address; found)
            addresses.push_back(found);
    }
    query->done(std::move(addresses));
}

void on_services(void* argument, int status, int, unsigned char* data, int size)
{
    const std::unique_ptr<ServiceQuery> query(static_cast<ServiceQuery*>(argument));
    if (status == ARES_EDESTRUCTION || status == ARES_ECANCELLED)
        return;
    ares_srv_reply* reply = nullptr;
    if (status == ARES_SUCCESS)
        status = ares_parse_srv_reply(data, size, &reply);
    const std::unique_ptr<ares_srv_reply, decltype(&ares_free_data)> owned(reply, ares_free_data);
    if (status != ARES_SUCCESS && !found_nothing(status)) {
        query->done(lookup_error(query->name, status));
        return;
    }
    std::vector<const ares_srv_reply*> records;
    for (const auto* record = reply; record; record = record->next)
        records.push_back(record);
    std::stable_sort(records.begin(), records.end(),
                     [](const auto* a, const auto* b) { return a->priority < b->priority; });
    std::vector<std::string> hosts;
    for (const auto* record : records) {
        const std::string host = record->host;
        if (!host.empty() && std::find(hosts.begin(), hosts.end(), host) == hosts.end())
            hosts.push_back(host);
    }
    query->done(std::move(hosts));
}

} // namespace

struct Resolver::State : std::enable_shared_from_this<Resolver::State> {
    explicit State(asio::io_context& context) : io(context), timer(context) {}

    /// c-ares opens and closes its sockets; the loop only watches them.
    struct Watched {
        explicit Watched(asio::io_context& context, int fd) : descriptor(context, fd) {}
        ~Watched() { descriptor.release(); }
        asio::posix::stream_descriptor descriptor;
        bool read = false, write = false;
        bool reading = false, writing = false;
    };

    static void on_socket(void* argument, ares_socket_t fd, int read, int write)
    {
        auto& self = *static_cast<State*>(argument);
        if (!read && !write) {
            self.sockets.erase(fd);
            return;
        }
        auto& watched = self.sockets[fd];
        if (!watched)
            watched = std::make_shared<Watched>(self.io, fd);
        watched->read = read != 0;
        watched->write = write != 0;
        self.watch(fd);
    }

    void watch(ares_socket_t fd)
    {
        const auto found = sockets.find(fd);
        if (found == sockets.end())
            return;
        const auto& watched = found->second;
        if (watched->read && !std::exchange(watched->reading, true))
            wait(fd, watched, asio::posix::stream_descriptor::wait_read, &Watched::reading);
        if (watched->write && !std::exchange(watched->writing, true))
            wait(fd, watched, asio::posix::stream_descriptor::wait_write, &Watched::writing);
    }

    void wait(ares_socket_t fd, const std::shared_ptr<Watched>& watched,
              asio::posix::stream_descriptor::wait_type type, bool Watched::*waiting)
    {
        watched->descriptor.async_wait(
            type, [weak = weak_from_this(), fd, type, waiting,
                   kept = std::weak_ptr(watched)](const asio::error_code& error) {
                const auto self = weak.lock();
                const auto still = kept.lock();
                if (error || !self || !still)
                    return;
                (*still).*waiting = false;
                const bool is_read = type == asio::posix::stream_descriptor::wait_read;
                ares_process_fd(self->channel, is_read ? fd : ARES_SOCKET_BAD,
                                is_read ? ARES_SOCKET_BAD : fd);
                self->watch(fd);
                self->arm();
            });
    }

    /// c-ares has its own timeouts; this gives it the time of day.
    void arm()
    {
        timeval left{};
        if (ares_timeout(channel, nullptr, &left) == nullptr) {
            timer.cancel();
            return;
        }
        timer.expires_after(std::chrono::seconds(left.tv_sec) +
                            std::chrono::microseconds(left.tv_usec) + Milliseconds(1));
        timer.async_wait([weak = weak_from_this()](const asio::error_code& error) {
            const auto self = weak.lock();
            if (error || !self || !self->channel)
                return;
            ares_process_fd(self->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
            self->arm();
        });
    }

    asio::io_context& io;
    asio::steady_timer timer;
    ares_channel channel = nullptr;
    std::map<ares_socket_t, std::shared_ptr<Watched>> sockets;
};

Resolver::Resolver() = default;

Result<std::unique_ptr<Resolver>> Resolver::create(asio::io_context& io, const std::string& servers)
{
    // Once for the process; c-ares counts its users.
    if (const int status = ares_library_init(ARES_LIB_INIT_ALL); status != ARES_SUCCESS)
        return Error{Error::Code::io, fmt::format("c-ares: {}", ares_strerror(status))};
    std::unique_ptr<Resolver> resolver(new Resolver);
    resolver->state_ = std::make_shared<State>(io);
    ares_options options{};
    options.timeout = timeout_ms;
    options.tries = tries;
    options.sock_state_cb = State::on_socket;
    options.sock_state_cb_data = resolver->state_.get();
    const int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
    if (const int status = ares_init_options(&resolver->state_->channel, &options, mask);
        status != ARES_SUCCESS) {
        resolver->state_->channel = nullptr;
        return Error{Error::Code::io, fmt::format("c-ares: {}", ares_strerror(status))};
    }
    if (!servers.empty() &&
        ares_set_servers_ports_csv(resolver->state_->channel, servers.c_str()) != ARES_SUCCESS)
        return invalid(fmt::format("c-ares: not a list of name servers: {}", servers));
    return resolver;
}

Resolver::~Resolver()
{
    if (!state_)
        return;
    state_->timer.cancel();
    if (state_->channel)
        ares_destroy(std::exchange(state_->channel, nullptr));
    ares_library_cleanup();
}

void Resolver::addresses(const std::string& host, AddressesHandler done)
{
    ares_addrinfo_hints hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    ares_getaddrinfo(state_->channel, host.c_str(), nullptr, &hints, on_addresses,
                     new AddressQuery{host, std::move(done)});
    state_->arm();
}

void Resolver::services(const std::string& name, ServicesHandler done)
{
    ares_query(state_->channel, name.c_str(), ns_c_in, ns_t_srv, on_services,
               new ServiceQuery{name, std::move(done)});
    state_->arm();
}

} // namespace mediaproxy::relay
