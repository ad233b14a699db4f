// SPDX-License-Identifier: GPL-2.0-or-later
// JSON of relays that is passed on as text, and how relays of ours introduce themselves.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "dispatcher/json_text.hpp"
#include "protocol/hello.hpp"

using namespace mediaproxy;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    std::string_view rest = text;
    std::size_t total = 0;
    while (const auto element = dispatcher::json::next_element(rest)) {
        if (element->empty())
            std::abort();
        total += element->size();
    }
    if (total > size)
        std::abort();
    if (const auto sessions = dispatcher::json::member(text, "sessions"))
        (void)dispatcher::json::is_array(*sessions);
    if (dispatcher::json::is_array(text) && dispatcher::json::is_object(text))
        std::abort();
    (void)protocol::parse_hello(text);
    return 0;
}
