// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>
#include <type_traits>

#include <mediaproxy/accounting.h>
#include <mediaproxy/forwarding.h>

#include "layout.h"

extern "C" int abi_has_first(const mp_host* host);
extern "C" int abi_has_all(const mp_host* host);

TEST_CASE("the structs of the ABI are plain C")
{
    STATIC_REQUIRE(std::is_standard_layout_v<mp_session_record>);
    STATIC_REQUIRE(std::is_trivially_copyable_v<mp_session_record>);
    STATIC_REQUIRE(std::is_standard_layout_v<mp_flow>);
    STATIC_REQUIRE(std::is_trivially_copyable_v<mp_flow>);
}

TEST_CASE("a member is there when the struct is long enough, in C and C++ alike")
{
    mp_host host{};
    host.struct_size = sizeof host;
    CHECK(MP_HAS(&host, get_service));
    CHECK(abi_has_all(&host) == 1);

    host.struct_size = offsetof(mp_host, get_service);
    CHECK(MP_HAS(&host, unwatch_fd));
    CHECK_FALSE(MP_HAS(&host, get_service));
    CHECK(abi_has_first(&host) == 1);

    host.struct_size = sizeof host - 1;
    CHECK_FALSE(MP_HAS(&host, get_service));
}
