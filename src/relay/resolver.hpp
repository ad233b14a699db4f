// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "net/address.hpp"

namespace mediaproxy::relay
{

/// Looks names up without holding up the loop: c-ares, its sockets watched by the loop.
/// [core thread]
class Resolver
{
public:
    /// Nothing found and no answer are different things: an error is "no answer", and what was
    /// known before still counts.
    using AddressesHandler = std::function<void(Result<std::vector<net::Address>>)>;
    using ServicesHandler = std::function<void(Result<std::vector<std::string>>)>;

    /// `servers` instead of those of resolv.conf: `ip:port` separated by commas.
    static Result<std::unique_ptr<Resolver>> create(asio::io_context& io,
                                                    const std::string& servers = {});
    ~Resolver();

    /// The addresses of a host (hosts file, A, AAAA), the best reachable one first (RFC 6724).
    /// Handlers may be called before this returns, and are not called after the destructor.
    void addresses(const std::string& host, AddressesHandler done);
    /// The target hosts of an SRV record (RFC 2782), most wanted first.
    void services(const std::string& name, ServicesHandler done);

private:
    Resolver();
    struct State;
    std::shared_ptr<State> state_; ///< shared with what waits on the sockets
};

} // namespace mediaproxy::relay
