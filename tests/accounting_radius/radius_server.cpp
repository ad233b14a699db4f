// SPDX-License-Identifier: GPL-2.0-or-later
#include "radius_server.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <array>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdexcept>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace accounting_radius_test
{

namespace
{

using mediaproxy::plugin_support::UniqueFd;

std::pair<UniqueFd, std::uint16_t> bind_somewhere()
{
    UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(socket.value(), generic, length) != 0 ||
        ::getsockname(socket.value(), generic, &length) != 0)
        throw std::runtime_error("no socket for the server");
    return {std::move(socket), ntohs(address.sin_port)};
}

} // namespace

Bytes answer_to(const Bytes& request, const std::string& secret)
{
    Bytes answer(20);
    answer[0] = 5;
    answer[1] = request[1];
    answer[3] = 20;
    std::string digested(answer.begin(), answer.begin() + 4);
    digested.append(request.begin() + 4, request.begin() + 20);
    digested += secret;
    EVP_Digest(digested.data(), digested.size(), answer.data() + 4, nullptr, EVP_md5(), nullptr);
    return answer;
}

std::string text_of(const Bytes& request, std::uint8_t type)
{
    for (std::size_t at = 20; at + 2 <= request.size() && request[at + 1] >= 2;
         at += request[at + 1]) {
        if (request[at] == type)
            return {request.begin() + static_cast<std::ptrdiff_t>(at + 2),
                    request.begin() + static_cast<std::ptrdiff_t>(at + request[at + 1])};
    }
    return {};
}

RadiusServer::RadiusServer(const std::string& secret)
    : RadiusServer(
          [secret](const Bytes& request) { return std::vector<Bytes>{answer_to(request, secret)}; })
{
}

RadiusServer::RadiusServer(Judge judge) : judge_(std::move(judge)), stop_(::eventfd(0, EFD_CLOEXEC))
{
    std::tie(socket_, port_) = bind_somewhere();
    thread_ = std::thread([this] { serve(); });
}

RadiusServer::~RadiusServer()
{
    const std::uint64_t one = 1;
    if (::write(stop_.value(), &one, sizeof one) == sizeof one)
        thread_.join();
}

void RadiusServer::serve()
{
    std::array<pollfd, 2> waiting{{{socket_.value(), POLLIN, 0}, {stop_.value(), POLLIN, 0}}};
    while (::poll(waiting.data(), waiting.size(), -1) > 0 && waiting[1].revents == 0) {
        Bytes request(4096);
        sockaddr_storage from{};
        socklen_t length = sizeof from;
        const ssize_t got = ::recvfrom(socket_.value(), request.data(), request.size(), 0,
                                       reinterpret_cast<sockaddr*>(&from), &length);
        if (got < 20)
            continue;
        request.resize(static_cast<std::size_t>(got));
        {
            const std::lock_guard held(mutex_);
            requests_.push_back(request);
            came_.notify_all();
        }
        for (const Bytes& answer : judge_(request))
            ::sendto(socket_.value(), answer.data(), answer.size(), 0,
                     reinterpret_cast<sockaddr*>(&from), length);
    }
}

std::vector<Bytes> RadiusServer::requests() const
{
    const std::lock_guard held(mutex_);
    return requests_;
}

bool RadiusServer::await_requests(std::size_t count) const
{
    std::unique_lock held(mutex_);
    return came_.wait_for(held, std::chrono::seconds(20),
                          [&] { return requests_.size() >= count; });
}

std::uint16_t closed_port()
{
    return bind_somewhere().second;
}

} // namespace accounting_radius_test
