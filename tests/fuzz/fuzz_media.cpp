// SPDX-License-Identifier: GPL-2.0-or-later
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "protocol/command.hpp"

using namespace mediaproxy::protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    (void)parse_signaling(text);
    const auto media = parse_media(text);
    if (!media)
        return 0;
    for (const MediaLine& line : *media) {
        if (line.type.empty() || !line.address)
            std::abort();
    }
    return 0;
}
