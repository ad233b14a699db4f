// SPDX-License-Identifier: GPL-2.0-or-later
#include "resolver.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <netdb.h>
#include <new>
#include <poll.h>
#include <thread>
#include <utility>

namespace mediaproxy::accounting_radius
{

namespace
{

/// A look-up and what became of it. The thread and whoever waits both hold it.
struct LookUp {
    std::string host, port;
    int error = 0;
    std::vector<SocketAddress> addresses;
    Signal done;

    void run(int flags)
    {
        addrinfo hints{};
        hints.ai_socktype = SOCK_DGRAM;
        hints.ai_flags = flags | AI_NUMERICSERV;
        addrinfo* list = nullptr;
        error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &list);
        const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(list, ::freeaddrinfo);
        for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
            SocketAddress address;
            std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
            address.length = entry->ai_addrlen;
            addresses.push_back(address);
        }
    }
};

/// Until one of them is raised.
void wait_for(const Signal& one, const Signal& other)
{
    std::array<pollfd, 2> waiting{{{one.fd(), POLLIN, 0}, {other.fd(), POLLIN, 0}}};
    while (::poll(waiting.data(), waiting.size(), -1) < 0 && errno == EINTR) {
    }
}

} // namespace

std::string SocketAddress::host() const
{
    std::array<char, NI_MAXHOST> text{};
    ::getnameinfo(get(), length, text.data(), text.size(), nullptr, 0, NI_NUMERICHOST);
    return text.data();
}

Result<std::vector<SocketAddress>> resolve(const std::string& host, std::uint16_t port,
                                           const Signal& cancelled)
{
    const auto look_up = std::make_shared<LookUp>();
    look_up->host = host;
    look_up->port = std::to_string(port);
    look_up->run(AI_NUMERICHOST);
    if (look_up->error != 0) {
        // The library is linked to stay in memory (-z nodelete) for a thread that is left behind.
        std::thread([look_up] {
            try {
                look_up->run(0);
            } catch (const std::bad_alloc&) {
                look_up->error = EAI_MEMORY;
            }
            look_up->done.raise();
        }).detach();
        wait_for(look_up->done, cancelled);
        if (!look_up->done.raised())
            return Failure{host + ": cancelled while its address was asked for"};
    }
    if (look_up->error != 0)
        return Failure{host + ": " + ::gai_strerror(look_up->error)};
    return std::move(look_up->addresses);
}

} // namespace mediaproxy::accounting_radius
