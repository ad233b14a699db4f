// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "net/endpoint.hpp"
#include "relay/options.hpp"
#include "relay/resolver.hpp"

namespace mediaproxy::relay
{

/// One dispatcher to connect to.
struct DispatcherTarget {
    std::string name; ///< `host:port` as configured or as the SRV record says
    net::Endpoint endpoint;
    friend bool operator==(const DispatcherTarget&, const DispatcherTarget&) = default;
};

/// Where the configured dispatchers are: addresses as they stand; a domain by its SRV record
/// `_sip._udp.DOMAIN` (the target's host, our configured port), else as a host name. Names are
/// looked up again and again. [core thread]
class DispatcherLocator
{
public:
    using Handler = std::function<void(const std::vector<DispatcherTarget>&)>;

    /// `resolver` may be null when all are addresses.
    DispatcherLocator(asio::io_context& io, std::vector<Options::Dispatcher> dispatchers,
                      Seconds interval, std::unique_ptr<Resolver> resolver);
    ~DispatcherLocator();

    /// `on_change` is called now with what is known, and whenever the set changes.
    void start(Handler on_change);
    void stop();

    static bool needs_resolver(const std::vector<Options::Dispatcher>& dispatchers);

private:
    struct Entry {
        Options::Dispatcher dispatcher;
        std::vector<DispatcherTarget> targets;
        std::string last_failure;
    };
    struct Gathering;
    void look_up_all();
    void look_up(std::size_t index);
    void look_up_hosts(std::size_t index, std::vector<std::string> hosts);
    void gathered(std::size_t index, const Gathering& all);
    void found(std::size_t index, std::vector<DispatcherTarget> targets);
    void failed(std::size_t index, const std::string& why);
    void tell();

    std::vector<Entry> entries_;
    Seconds interval_;
    asio::steady_timer timer_;
    Handler on_change_;
    std::vector<DispatcherTarget> told_;
    bool told_once_ = false;
    std::shared_ptr<bool> alive_;
    std::unique_ptr<Resolver> resolver_; ///< the first to go: its handlers refer to the rest
};

} // namespace mediaproxy::relay
