// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <catch2/catch.hpp>
#include <cstdlib>
#include <unistd.h>

namespace mediaproxy::fakes
{

/// Not root while it lives, so that file modes count.
class Unprivileged
{
public:
    Unprivileged() : before_(::geteuid())
    {
        if (before_ == 0)
            REQUIRE(::seteuid(65534) == 0);
    }
    ~Unprivileged()
    {
        if (before_ == 0 && ::seteuid(0) != 0)
            std::abort();
    }
    Unprivileged(const Unprivileged&) = delete;
    Unprivileged& operator=(const Unprivileged&) = delete;

private:
    uid_t before_;
};

} // namespace mediaproxy::fakes
