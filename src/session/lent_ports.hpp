// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <utility>

#include "session/types.hpp"

namespace mediaproxy::session
{

/// A port pair that goes back to its source. What it was stays readable, for the records.
class LentPorts
{
public:
    LentPorts() = default;
    LentPorts(PortSource& source, const PortPair& pair) noexcept : source_(&source), pair_(pair) {}
    LentPorts(LentPorts&& from) noexcept
        : source_(std::exchange(from.source_, nullptr)), pair_(from.pair_)
    {
    }
    LentPorts& operator=(LentPorts&& from) noexcept
    {
        if (this == &from)
            return *this;
        give_back();
        source_ = std::exchange(from.source_, nullptr);
        pair_ = from.pair_;
        return *this;
    }
    LentPorts(const LentPorts&) = delete;
    LentPorts& operator=(const LentPorts&) = delete;
    ~LentPorts() { give_back(); }

    void give_back() noexcept
    {
        if (PortSource* source = std::exchange(source_, nullptr))
            source->release(pair_);
    }
    const PortPair& pair() const noexcept { return pair_; }
    const net::Address& told_address() const noexcept
    {
        return pair_.advertised ? pair_.advertised : pair_.rtp.address;
    }
    /// Is this one of the pair's two sockets, by its bound or its advertised address?
    bool is(const net::Endpoint& endpoint) const noexcept
    {
        return (endpoint.port == pair_.rtp.port || endpoint.port == pair_.rtp.port + 1) &&
               (endpoint.address == pair_.rtp.address || endpoint.address == pair_.advertised);
    }

private:
    PortSource* source_ = nullptr;
    PortPair pair_;
};

} // namespace mediaproxy::session
