// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <optional>
#include <string>
#include <sys/types.h>

#include "base/result.hpp"
#include "base/unique_fd.hpp"

namespace mediaproxy::dispatcher
{

/// A listening UNIX stream socket with its file. A stale file is replaced, one where somebody
/// listens is an error; the file is removed again with the listener, if it is still ours.
class UnixListener
{
public:
    struct Access {
        std::string owner, group; ///< name or number; empty: leave as it is
        unsigned mode = 0660;
    };
    static Result<UnixListener> open(const std::string& path, const Access& access);

    UnixListener(UnixListener&& other) noexcept = default;
    UnixListener& operator=(UnixListener&&) = delete;
    ~UnixListener();

    int descriptor() const noexcept { return socket_.get(); }
    const std::string& path() const noexcept { return path_; }
    /// Non-blocking and close-on-exec; none: see errno.
    UniqueFd accept() const noexcept;

private:
    UnixListener(std::string path, UniqueFd socket) noexcept;

    std::string path_;
    UniqueFd socket_;
    dev_t device_ = 0;
    ino_t inode_ = 0;
};

} // namespace mediaproxy::dispatcher
