// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mediaproxy::protocol
{

/// How a SIP proxy is asked over its management socket to end a dialog (PROTOCOLS section 7).
enum class ProxyKind {
    automatic, ///< by the form of the dialog's id, and by what it answers
    kamailio,
    opensips, ///< 3.1 and later
    opensips_3_0,
    opensips_2_4,
};

/// JSON-RPC, whose answers carry the id of the request, or the lines of OpenSIPS 2.4, whose answers
/// do not.
enum class Dialect { json, lines };

/// One way to name the dialog to the proxy.
struct EndDialog {
    enum class Call {
        kamailio, ///< `text` is `ENTRY, ID`
        opensips, ///< `text` is one parameter
        lines,    ///< `text` is one parameter
    };
    Call call = Call::opensips;
    std::string text;

    Dialect dialect() const noexcept
    {
        return call == Call::lines ? Dialect::lines : Dialect::json;
    }
    /// The datagram. `id` is not said in the dialect that has none.
    std::string write(std::uint64_t id) const;

    bool operator==(const EndDialog&) const = default;
};

/// What is worth trying, best first; empty when this kind of proxy has no such dialogs.
std::vector<EndDialog> ways_to_end(ProxyKind kind, std::string_view dialog_id,
                                   std::string_view call_id);

/// OpenSIPS' hexadecimal dialog id: 15028991519155 -> `bad.3b963b53`.
std::string to_hexadecimal_dialog_id(std::uint64_t number);

/// What the proxy answered.
struct EndDialogAnswer {
    enum class Verdict {
        ended,   ///< it sends BYE to both sides
        gone,    ///< 404: it knows no such dialog
        refused, ///< it does not do that: see code and message
    };
    Dialect dialect = Dialect::json;
    std::string id; ///< of the request; empty in the dialect that has none
    Verdict verdict = Verdict::ended;
    int code = 0;
    std::string message;
    /// Not so when it does not know the call at all (JSON-RPC 2.0 section 5.1).
    bool knows_call() const noexcept { return code != -32601; }
};

/// Nothing when it is no answer at all.
std::optional<EndDialogAnswer> parse_end_dialog_answer(std::string_view datagram);

} // namespace mediaproxy::protocol
