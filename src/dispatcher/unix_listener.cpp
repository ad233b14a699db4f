// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/unix_listener.hpp"

#include <cerrno>
#include <cstring>
#include <sys/socket.h>

namespace mediaproxy::dispatcher
{

Result<UnixListener> UnixListener::open(const std::string& path, const Access& access)
{
    auto binding = UnixBinding::open(path, UnixBinding::Kind::stream, access);
    if (!binding)
        return binding.error();
    if (::listen(binding->descriptor(), 1024) != 0)
        return Error{Error::Code::io, "socket " + path + ": listen: " + std::strerror(errno)};
    return UnixListener(std::move(*binding));
}

UniqueFd UnixListener::accept() const noexcept
{
    return UniqueFd(
        ::accept4(binding_.descriptor(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
}

} // namespace mediaproxy::dispatcher
