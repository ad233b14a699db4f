// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <mediaproxy/forwarding.h>

#include "base/result.hpp"
#include "base/time.hpp"
#include "base/unique_fd.hpp"

namespace mediaproxy::conformance
{

/// A UDP socket on the loopback interface.
class LoopbackSocket
{
public:
    static Result<LoopbackSocket> open();

    int fd() const noexcept { return fd_.get(); }
    const mp_endpoint& endpoint() const noexcept { return endpoint_; }
    void send_to(const LoopbackSocket& to, std::string_view packet) const;
    /// The next packet, if it comes in time; where it came from into `from`.
    std::optional<std::string> receive(Milliseconds patience, mp_endpoint* from = nullptr) const;
    bool is_open() const noexcept;

private:
    UniqueFd fd_;
    mp_endpoint endpoint_{};
};

/// A flow between two parties that are sockets too.
struct LoopbackFlow {
    static Result<LoopbackFlow> make(mp_flow_id id);

    mp_flow abi() const noexcept;

    mp_flow_id id;
    LoopbackSocket caller, caller_local, callee_local, callee;
};

bool same(const mp_endpoint& a, const mp_endpoint& b) noexcept;

} // namespace mediaproxy::conformance
