// SPDX-License-Identifier: GPL-2.0-or-later
// What a relay says of sessions: a report that is read must be written and read again to the same.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "protocol/session_report.hpp"

using namespace mediaproxy::protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view json(reinterpret_cast<const char*>(data), size);
    (void)parse_reports(json);
    const auto report = parse_report(json);
    if (!report)
        return 0;
    const std::string once = to_json(*report);
    const auto again = parse_report(once);
    if (!again || to_json(*again) != once)
        std::abort();
    return 0;
}
