// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "dispatcher/unix_binding.hpp"

namespace mediaproxy::dispatcher
{

/// A UNIX datagram socket with a file of its own, to ask somebody and to be answered. Neither
/// sending nor receiving ever waits. [core thread]
class DatagramSocket
{
public:
    using Handler = std::function<void(std::string_view)>;
    /// `received` gets every datagram of up to 4 kB; longer ones are passed over. It must not
    /// destroy or renew the socket.
    static Result<std::unique_ptr<DatagramSocket>> open(asio::io_context& io,
                                                        const std::string& path,
                                                        UnixBinding::Access access,
                                                        Handler received);
    ~DatagramSocket();

    /// 0, or the errno that tells why nothing was sent; EAGAIN: the receiver's buffer is full.
    int send(const sockaddr_un& to, std::string_view datagram) noexcept;
    /// Goes on under another path, `PATH.NUMBER`: what is still sent to the old one is lost.
    Result<void> renew();
    const std::string& path() const noexcept { return binding_->path(); }

private:
    DatagramSocket(asio::io_context& io, UnixBinding binding, UnixBinding::Access access,
                   Handler received);
    void use(UnixBinding binding);
    void wait();
    void receive_all();

    std::string base_path_;
    UnixBinding::Access access_; ///< owner and group as numbers: no look-up while running
    Handler received_;
    std::optional<UnixBinding> binding_;
    std::uint64_t renewals_ = 0;
    asio::posix::stream_descriptor descriptor_;
    std::shared_ptr<bool> alive_; ///< of this binding; asked by a handler in flight
};

} // namespace mediaproxy::dispatcher
