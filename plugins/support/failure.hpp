// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <algorithm>
#include <cstring>
#include <new>
#include <string_view>

#include <mediaproxy/types.h>

namespace mediaproxy::plugin_support
{

/// Writes `sentence` for the host, cut to fit at a character boundary, and hands `status` back.
inline mp_status fail(mp_error* error, mp_status status, std::string_view sentence) noexcept
{
    std::size_t length = std::min(sentence.size(), sizeof error->message - 1);
    while (length < sentence.size() && length > 0 && (sentence[length] & 0xc0) == 0x80)
        --length;
    std::memcpy(error->message, sentence.data(), length);
    error->message[length] = '\0';
    return status;
}

/// Runs `call`; an exception, which must not cross the border, becomes `status` and its sentence.
template <class Call>
mp_status guarded(mp_error* error, mp_status status, Call&& call) noexcept
{
    try {
        return call();
    } catch (const std::exception& failure) {
        return fail(error, status, failure.what());
    } catch (...) {
        return fail(error, status, "unknown exception");
    }
}

} // namespace mediaproxy::plugin_support
