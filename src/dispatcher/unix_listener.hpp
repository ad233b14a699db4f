// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "dispatcher/unix_binding.hpp"

namespace mediaproxy::dispatcher
{

/// A listening UNIX stream socket with its file.
class UnixListener
{
public:
    using Access = UnixBinding::Access;
    static Result<UnixListener> open(const std::string& path, const Access& access);

    int descriptor() const noexcept { return binding_.descriptor(); }
    const std::string& path() const noexcept { return binding_.path(); }
    /// Non-blocking and close-on-exec; none: see errno.
    UniqueFd accept() const noexcept;

private:
    explicit UnixListener(UnixBinding binding) noexcept : binding_(std::move(binding)) {}

    UnixBinding binding_;
};

} // namespace mediaproxy::dispatcher
