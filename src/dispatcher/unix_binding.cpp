// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/unix_binding.hpp"

#include <cerrno>
#include <cstring>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

Error failed(const std::string& path, std::string_view what, int number)
{
    return Error{number == EACCES || number == EPERM ? Error::Code::denied : Error::Code::io,
                 "socket " + path + ": " + std::string(what) + ": " + std::strerror(number)};
}

UniqueFd make_socket(UnixBinding::Kind kind) noexcept
{
    const int type = kind == UnixBinding::Kind::stream ? SOCK_STREAM : SOCK_DGRAM;
    return UniqueFd(::socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
}

/// Removes a socket file that its process left behind.
Result<void> remove_stale(const std::string& path, const sockaddr_un& address,
                          UnixBinding::Kind kind)
{
    struct stat status {
    };
    if (::lstat(path.c_str(), &status) != 0)
        return {};
    if (!S_ISSOCK(status.st_mode))
        return invalid("socket " + path + ": a file that is no socket is there");
    const UniqueFd probe = make_socket(kind);
    if (!probe)
        return failed(path, "socket", errno);
    const auto* const plain = reinterpret_cast<const sockaddr*>(&address);
    // EAGAIN: somebody listens and has not taken the connections that wait.
    if (::connect(probe.get(), plain, sizeof address) == 0 || errno == EAGAIN)
        return Error{Error::Code::unavailable,
                     "socket " + path + ": another process listens there"};
    if (errno != ECONNREFUSED && errno != ENOENT)
        return failed(path, "looking whether somebody listens", errno);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT)
        return failed(path, "removing the stale file", errno);
    return {};
}

Result<uid_t> find_user(const std::string& name)
{
    if (name.empty())
        return static_cast<uid_t>(-1);
    if (const auto number = text::parse_number<unsigned>(name))
        return static_cast<uid_t>(*number);
    const passwd* const entry = ::getpwnam(name.c_str());
    if (!entry)
        return Error{Error::Code::not_found, "no user " + name};
    return entry->pw_uid;
}

Result<gid_t> find_group(const std::string& name)
{
    if (name.empty())
        return static_cast<gid_t>(-1);
    if (const auto number = text::parse_number<unsigned>(name))
        return static_cast<gid_t>(*number);
    const group* const entry = ::getgrnam(name.c_str());
    if (!entry)
        return Error{Error::Code::not_found, "no group " + name};
    return entry->gr_gid;
}

Result<void> set_access(const std::string& path, const UnixBinding::Access& access)
{
    const auto user = find_user(access.owner);
    if (!user)
        return Error{user.error().code, "socket " + path + ": " + user.error().message};
    const auto group = find_group(access.group);
    if (!group)
        return Error{group.error().code, "socket " + path + ": " + group.error().message};
    if ((!access.owner.empty() || !access.group.empty()) &&
        ::chown(path.c_str(), *user, *group) != 0) {
        Error refused = failed(path, "setting owner and group", errno);
        if (refused.code == Error::Code::denied)
            refused.message += ": without CAP_CHOWN only to a group that mediaproxyd's user is in";
        return refused;
    }
    if (::chmod(path.c_str(), access.mode) != 0)
        return failed(path, "setting the mode", errno);
    return {};
}

} // namespace

Result<sockaddr_un> make_unix_address(const std::string& path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.empty() || path.size() >= sizeof address.sun_path)
        return invalid("socket " + path + ": the path must have 1 to 107 bytes");
    std::memcpy(address.sun_path, path.data(), path.size());
    return address;
}

UnixBinding::UnixBinding(std::string path, UniqueFd socket) noexcept
    : path_(std::move(path)), socket_(std::move(socket))
{
    struct stat status {
    };
    if (::lstat(path_.c_str(), &status) == 0) {
        device_ = status.st_dev;
        inode_ = status.st_ino;
    }
}

UnixBinding::~UnixBinding()
{
    struct stat status {
    };
    if (socket_ && ::lstat(path_.c_str(), &status) == 0 && status.st_dev == device_ &&
        status.st_ino == inode_)
        ::unlink(path_.c_str());
}

Result<UnixBinding> UnixBinding::open(const std::string& path, Kind kind, const Access& access)
{
    const auto address = make_unix_address(path);
    if (!address)
        return address.error();
    if (auto removed = remove_stale(path, *address, kind); !removed)
        return removed.error();
    UniqueFd socket = make_socket(kind);
    if (!socket)
        return failed(path, "socket", errno);
    // Nobody else may connect before owner and mode are set.
    const mode_t mask = ::umask(0177);
    const int bound =
        ::bind(socket.get(), reinterpret_cast<const sockaddr*>(&*address), sizeof *address);
    const int number = errno;
    ::umask(mask);
    if (bound != 0)
        return failed(path, "bind", number);
    UnixBinding binding(path, std::move(socket));
    if (auto set = set_access(path, access); !set)
        return set.error();
    return binding;
}

} // namespace mediaproxy::dispatcher
