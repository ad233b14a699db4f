// SPDX-License-Identifier: GPL-2.0-or-later
// What the SIP proxy (or somebody else who may write to our socket) answers to the end of a dialog,
// and the same bytes as the ids by which dialogs are ended.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "protocol/dialog_end.hpp"

using namespace mediaproxy::protocol;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto answer = parse_end_dialog_answer(text)) {
        if (answer->id.empty() != (answer->dialect == Dialect::lines))
            std::abort();
        if (answer->code != 404 && answer->verdict == EndDialogAnswer::Verdict::gone)
            std::abort();
    }
    for (const ProxyKind kind : {ProxyKind::automatic, ProxyKind::kamailio, ProxyKind::opensips,
                                 ProxyKind::opensips_3_0, ProxyKind::opensips_2_4}) {
        for (const EndDialog& way : ways_to_end(kind, text, text)) {
            const std::string request = way.write(1);
            // One request, whatever the ids are: nothing in them ends a line or a string.
            if (way.dialect() == Dialect::json && request.find('\n') != std::string::npos)
                std::abort();
            if (way.dialect() == Dialect::lines && request.find('\n', 14) != request.size() - 2)
                std::abort();
        }
    }
    return 0;
}
