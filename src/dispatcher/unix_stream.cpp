// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/unix_stream.hpp"

#include <array>
#include <asio/buffer.hpp>
#include <asio/error.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <cerrno>
#include <string>
#include <sys/socket.h>

namespace mediaproxy::dispatcher
{

class UnixStream::State : public std::enable_shared_from_this<State>
{
public:
    State(asio::io_context& io, UniqueFd socket, tls::Link::Owner& owner)
        : socket_(io, socket.release()), owner_(&owner)
    {
    }

    void start()
    {
        asio::post(socket_.get_executor(), [self = shared_from_this()] {
            if (!self->owner_)
                return;
            self->owner_->on_open();
            self->receive();
        });
    }
    void write(std::string_view bytes)
    {
        if (!owner_)
            return;
        unsent_.append(bytes);
        if (std::exchange(flush_posted_, true))
            return;
        asio::post(socket_.get_executor(), [self = shared_from_this()] {
            self->flush_posted_ = false;
            self->flush();
        });
    }
    void close()
    {
        if (!owner_)
            return;
        flush();
        finish();
    }
    std::size_t backlog() const noexcept { return unsent_.size(); }

private:
    void receive()
    {
        if (!owner_)
            return;
        socket_.async_read_some(
            asio::buffer(received_),
            [self = shared_from_this()](const asio::error_code& error, std::size_t size) {
                if (!self->owner_)
                    return;
                if (error)
                    return self->fail(error);
                self->owner_->on_bytes({self->received_.data(), size});
                self->receive();
            });
    }
    void flush()
    {
        if (waiting_ || unsent_.empty() || !socket_.is_open())
            return;
        const ssize_t sent = ::send(socket_.native_handle(), unsent_.data(), unsent_.size(),
                                    MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return unsent_.clear(); // reading will say why
        unsent_.erase(0, sent > 0 ? static_cast<std::size_t>(sent) : 0);
        if (unsent_.empty())
            return;
        waiting_ = true;
        socket_.async_wait(asio::posix::stream_descriptor::wait_write,
                           [self = shared_from_this()](const asio::error_code& error) {
                               self->waiting_ = false;
                               if (!error)
                                   self->flush();
                           });
    }
    void fail(const asio::error_code& error)
    {
        tls::Link::Owner* const owner = owner_;
        finish();
        owner->on_close(Error{Error::Code::unavailable,
                              error == asio::error::eof ? "closed by the peer" : error.message()});
    }
    void finish()
    {
        owner_ = nullptr;
        asio::error_code ignored;
        socket_.close(ignored);
    }

    asio::posix::stream_descriptor socket_;
    tls::Link::Owner* owner_; ///< null after the end
    std::string unsent_;
    std::array<char, 4096> received_;
    bool waiting_ = false;
    bool flush_posted_ = false;
};

std::shared_ptr<UnixStream> UnixStream::start(asio::io_context& io, UniqueFd socket,
                                              tls::Link::Owner& owner)
{
    std::shared_ptr<UnixStream> stream(new UnixStream);
    stream->state_ = std::make_shared<State>(io, std::move(socket), owner);
    stream->state_->start();
    return stream;
}

UnixStream::~UnixStream()
{
    state_->close();
}

void UnixStream::write(std::string_view bytes)
{
    state_->write(bytes);
}

std::size_t UnixStream::backlog() const noexcept
{
    return state_->backlog();
}

void UnixStream::close()
{
    state_->close();
}

} // namespace mediaproxy::dispatcher
