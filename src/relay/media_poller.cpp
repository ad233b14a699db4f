// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/media_poller.hpp"

#include <utility>

namespace mediaproxy::relay
{

namespace
{

SocketPoller::Key pack(SocketId id) noexcept
{
    return std::uint64_t{id.slot} << 1U | static_cast<std::uint64_t>(id.component);
}

SocketId unpack(SocketPoller::Key key) noexcept
{
    return {static_cast<std::uint32_t>(key >> 1U), static_cast<session::ComponentKind>(key & 1U)};
}

Result<void> about_media(Result<void> outcome)
{
    if (outcome)
        return outcome;
    return Error{outcome.error().code, "media: " + outcome.error().message};
}

} // namespace

Result<void> MediaPoller::start(Reader& reader)
{
    reader_ = &reader;
    return about_media(poller_.start(*this));
}

Result<void> MediaPoller::add(int fd, SocketId id)
{
    return about_media(poller_.add(fd, pack(id)));
}

void MediaPoller::on_ready(SocketPoller::Key key, std::uint32_t)
{
    reader_->on_readable(unpack(key));
}

} // namespace mediaproxy::relay
