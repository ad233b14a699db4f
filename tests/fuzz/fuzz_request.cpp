// SPDX-License-Identifier: GPL-2.0-or-later
// The control socket and the link from a dispatcher: the first byte chooses the kind and the size
// of the pieces.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "protocol/command.hpp"
#include "protocol/request.hpp"

using namespace mediaproxy::protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    if (size == 0)
        return 0;
    const auto kind = data[0] & 1 ? RequestReader::Kind::relay : RequestReader::Kind::proxy;
    const std::size_t piece = 1 + (data[0] >> 1);
    std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
    RequestReader reader(kind, {512, 2048});
    Request request;
    while (!bytes.empty()) {
        reader.feed(bytes.substr(0, piece));
        bytes.remove_prefix(std::min(piece, bytes.size()));
        RequestReader::Outcome outcome;
        while ((outcome = reader.next(request)) != RequestReader::Outcome::need_more) {
            if (outcome == RequestReader::Outcome::hopeless)
                return 0;
            if (outcome == RequestReader::Outcome::malformed)
                continue;
            (void)parse_update(request);
            (void)parse_remove(request);
        }
    }
    return 0;
}
