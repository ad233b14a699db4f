// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/datagram_socket.hpp"

#include <array>
#include <cerrno>
#include <sys/socket.h>
#include <sys/stat.h>
#include <utility>

namespace mediaproxy::dispatcher
{

namespace
{

constexpr std::size_t longest_datagram = 4096;
constexpr int most_at_once = 64; // then the others on the loop have their turn

} // namespace

Result<std::unique_ptr<DatagramSocket>> DatagramSocket::open(asio::io_context& io,
                                                             const std::string& path,
                                                             UnixBinding::Access access,
                                                             Handler received)
{
    auto binding = UnixBinding::open(path, UnixBinding::Kind::datagrams, access);
    if (!binding)
        return binding.error();
    struct stat status {
    };
    if (::lstat(path.c_str(), &status) == 0) {
        if (!access.owner.empty())
            access.owner = std::to_string(status.st_uid);
        if (!access.group.empty())
            access.group = std::to_string(status.st_gid);
    }
    return std::unique_ptr<DatagramSocket>(
        new DatagramSocket(io, std::move(*binding), std::move(access), std::move(received)));
}

DatagramSocket::DatagramSocket(asio::io_context& io, UnixBinding binding,
                               UnixBinding::Access access, Handler received)
    : base_path_(binding.path()), access_(std::move(access)), received_(std::move(received)),
      descriptor_(io)
{
    use(std::move(binding));
}

DatagramSocket::~DatagramSocket()
{
    descriptor_.release(); // the binding owns it
}

void DatagramSocket::use(UnixBinding binding)
{
    if (descriptor_.is_open())
        descriptor_.release();
    binding_.emplace(std::move(binding));
    alive_ = std::make_shared<bool>(true);
    descriptor_.assign(binding_->descriptor());
    wait();
}

Result<void> DatagramSocket::renew()
{
    auto binding = UnixBinding::open(base_path_ + '.' + std::to_string(++renewals_),
                                     UnixBinding::Kind::datagrams, access_);
    if (!binding)
        return binding.error();
    use(std::move(*binding));
    return {};
}

int DatagramSocket::send(const sockaddr_un& to, std::string_view datagram) noexcept
{
    const ssize_t sent =
        ::sendto(binding_->descriptor(), datagram.data(), datagram.size(),
                 MSG_DONTWAIT | MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    return sent < 0 ? errno : 0;
}

void DatagramSocket::wait()
{
    descriptor_.async_wait(
        asio::posix::stream_descriptor::wait_read,
        [this, alive = std::weak_ptr<bool>(alive_)](const asio::error_code& error) {
            if (!error && !alive.expired())
                receive_all();
        });
}

void DatagramSocket::receive_all()
{
    std::array<char, longest_datagram> buffer;
    for (int count = 0; count < most_at_once; ++count) {
        const ssize_t size =
            ::recv(binding_->descriptor(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
        if (size < 0)
            break;
        if (static_cast<std::size_t>(size) <= buffer.size())
            received_({buffer.data(), static_cast<std::size_t>(size)});
    }
    wait();
}

} // namespace mediaproxy::dispatcher
