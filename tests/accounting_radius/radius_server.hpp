// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "packet.hpp"
#include "support/unique_fd.hpp"

namespace accounting_radius_test
{

using mediaproxy::accounting_radius::Bytes;

/// The right answer to an Accounting-Request.
Bytes answer_to(const Bytes& request, const std::string& secret);

/// The text of the first attribute of this type, "" when there is none.
std::string text_of(const Bytes& request, std::uint8_t type);

/// An accounting server at 127.0.0.1 that answers as the test says. Its thread ends with it.
class RadiusServer
{
public:
    /// The datagrams that answer this one.
    using Judge = std::function<std::vector<Bytes>(const Bytes& request)>;

    /// Acknowledges all.
    explicit RadiusServer(const std::string& secret);
    explicit RadiusServer(Judge judge);
    ~RadiusServer();
    RadiusServer(const RadiusServer&) = delete;
    RadiusServer& operator=(const RadiusServer&) = delete;

    std::uint16_t port() const noexcept { return port_; }
    std::vector<Bytes> requests() const;
    /// Waits until so many have come.
    bool await_requests(std::size_t count) const;

private:
    void serve();

    Judge judge_;
    mediaproxy::plugin_support::UniqueFd socket_, stop_;
    std::uint16_t port_ = 0;
    mutable std::mutex mutex_;
    mutable std::condition_variable came_;
    std::vector<Bytes> requests_;
    std::thread thread_;
};

/// A port of 127.0.0.1 that nobody listens on.
std::uint16_t closed_port();

} // namespace accounting_radius_test
