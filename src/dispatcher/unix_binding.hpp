// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <sys/types.h>
#include <sys/un.h>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace mediaproxy::dispatcher
{

/// The path must fit.
Result<sockaddr_un> make_unix_address(const std::string& path);

/// A UNIX socket bound to a file, non-blocking and close-on-exec. A stale file is replaced, one
/// where somebody receives is an error; the file is removed again with the socket, if it is still
/// ours.
class UnixBinding
{
public:
    enum class Kind { stream, datagrams };
    struct Access {
        std::string owner, group; ///< name or number; empty: leave as it is
        unsigned mode = 0660;
    };
    static Result<UnixBinding> open(const std::string& path, Kind kind, const Access& access);

    UnixBinding(UnixBinding&& other) noexcept = default;
    UnixBinding& operator=(UnixBinding&&) = delete;
    ~UnixBinding();

    int descriptor() const noexcept { return socket_.get(); }
    const std::string& path() const noexcept { return path_; }

private:
    UnixBinding(std::string path, UniqueFd socket) noexcept;

    std::string path_;
    UniqueFd socket_;
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

} // namespace mediaproxy::dispatcher
