// SPDX-License-Identifier: GPL-2.0-or-later
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "tls/passport.hpp"

using mediaproxy::tls::Passport;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const auto passport = Passport::parse({reinterpret_cast<const char*>(data), size});
    if (!passport)
        return 0;
    (void)passport->accept({{"O", "mediaproxyd"}, {"CN", "relay"}});
    const auto again = Passport::parse(passport->to_string());
    if (!again || !(*again == *passport))
        std::abort();
    return 0;
}
