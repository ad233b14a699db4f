// SPDX-License-Identifier: GPL-2.0-or-later
// Lines that a relay or a management client sends.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "protocol/reply.hpp"
#include "protocol/request.hpp"

using namespace mediaproxy::protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0)
        return 0;
    const std::size_t piece = 1 + data[0];
    std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    LineReader reader(256);
    std::string_view line;
    while (!bytes.empty()) {
        reader.feed(bytes.substr(0, piece));
        bytes.remove_prefix(std::min(piece, bytes.size()));
        LineReader::Outcome outcome;
        while ((outcome = reader.next(line)) != LineReader::Outcome::need_more) {
            if (outcome != LineReader::Outcome::line)
                continue;
            if (line.size() > 256)
                std::abort();
            const RelayLine parsed = parse_relay_line(line);
            (void)parse_ports(parsed.text);
        }
    }
    return 0;
}
