// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/unix_acceptor.hpp"

#include <asio/error_code.hpp>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/log.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

constexpr std::chrono::milliseconds accept_pause{100};

} // namespace

UnixAcceptor::UnixAcceptor(asio::io_context& io, std::string name, UnixListener listener,
                           std::function<void(UniqueFd)> accepted)
    : name_(std::move(name)), listener_(std::move(listener)), accepted_(std::move(accepted)),
      descriptor_(io), pause_(io)
{
}

UnixAcceptor::~UnixAcceptor()
{
    stop();
    if (descriptor_.is_open())
        descriptor_.release(); // the listener owns it
}

void UnixAcceptor::start()
{
    listening_ = true;
    descriptor_.assign(listener_.descriptor());
    wait();
}

void UnixAcceptor::stop()
{
    listening_ = false;
    pause_.cancel();
    if (descriptor_.is_open())
        descriptor_.cancel();
}

void UnixAcceptor::wait()
{
    descriptor_.async_wait(
        asio::posix::stream_descriptor::wait_read,
        [this, alive = std::weak_ptr<bool>(alive_)](const asio::error_code& error) {
            if (!error && !alive.expired() && listening_)
                accept_all();
        });
}

void UnixAcceptor::accept_all()
{
    while (listening_) {
        UniqueFd socket = listener_.accept();
        if (!socket && (errno == EAGAIN || errno == EWOULDBLOCK))
            return wait();
        if (!socket && errno != ECONNABORTED && errno != EINTR)
            return pause(errno);
        if (!socket)
            continue;
        complained_ = false;
        try {
            accepted_(std::move(socket));
        } catch (...) { // ends this connection, not the listening
            wait();
            throw;
        }
    }
}

void UnixAcceptor::pause(int reason)
{
    if (!std::exchange(complained_, true))
        log::error("{} {}: cannot accept connections: {}", name_, listener_.path(),
                   std::strerror(reason));
    pause_.expires_after(accept_pause);
    pause_.async_wait([this, alive = std::weak_ptr<bool>(alive_)](const asio::error_code& error) {
        if (!error && !alive.expired() && listening_)
            accept_all();
    });
}

} // namespace mediaproxy::dispatcher
