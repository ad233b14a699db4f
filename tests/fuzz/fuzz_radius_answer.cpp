// SPDX-License-Identifier: GPL-2.0-or-later
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "packet.hpp"

using namespace mediaproxy::accounting_radius;

/// The input is a datagram from the server's address; the secret is not known to who sends it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    static const std::string secret = "fuzz";
    static const Bytes request = make_request(7, Bytes{40, 6, 0, 0, 0, 3}, secret);
    const ByteView datagram(data, size);
    if (acknowledges(datagram, request, secret) && (size < 20 || data[0] != 5 || data[1] != 7))
        std::abort();
    return 0;
}
