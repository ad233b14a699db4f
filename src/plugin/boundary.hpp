// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstring>
#include <exception>
#include <string>

#include <mediaproxy/types.h>

#include "base/result.hpp"

namespace mediaproxy::plugin
{

/// What a call into a plugin came to; `message` only when it failed.
struct Outcome {
    mp_status status = MP_OK;
    std::string message;

    bool ok() const noexcept { return status == MP_OK; }
};

inline Error to_error(std::string_view instance, const Outcome& outcome)
{
    const Error::Code code = outcome.status == MP_E_INVALID       ? Error::Code::invalid
                             : outcome.status == MP_E_UNSUPPORTED ? Error::Code::unsupported
                             : outcome.status == MP_E_DENIED      ? Error::Code::denied
                             : outcome.status == MP_E_AGAIN       ? Error::Code::unavailable
                                                                  : Error::Code::io;
    return Error{code, std::string(instance) + ": " + outcome.message};
}

/// Runs `call(mp_error*)`, which enters a plugin. A C++ exception that a plugin lets out stops here
/// and is a failure with its text; an unknown status is MP_E_FAILED.
template <class Call>
Outcome enter_plugin(Call&& call)
{
    mp_error error{};
    Outcome outcome;
    try {
        outcome.status = call(&error);
    } catch (const std::exception& escaped) {
        return {MP_E_FAILED, std::string("threw a C++ exception: ") + escaped.what()};
    } catch (...) {
        return {MP_E_FAILED, "threw an exception"};
    }
    if (outcome.status == MP_OK)
        return outcome;
    if (outcome.status > MP_OK || outcome.status < MP_E_AGAIN)
        outcome.status = MP_E_FAILED;
    outcome.message.assign(error.message, ::strnlen(error.message, sizeof error.message));
    if (outcome.message.empty())
        outcome.message = "failed without saying why";
    return outcome;
}

} // namespace mediaproxy::plugin
