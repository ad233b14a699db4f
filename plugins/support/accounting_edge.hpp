// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <variant>

#include <mediaproxy/accounting.h>

#include "support/failure.hpp"

namespace mediaproxy::plugin_support
{

/// What became of a call; `message` only when it failed.
struct Outcome {
    mp_status status = MP_OK;
    std::string message;
};

/// From any thread, as long as the back end lives.
using Log = std::function<void(mp_log_level, const std::string&)>;

using PluginSettings = std::span<const mp_setting>;

/// What a back end needs of its host.
struct PluginHost {
    Log log;
    std::string state_dir; ///< "" when there is none
};

/// A back end, or a sentence that says what is wrong with its settings.
template <class Backend>
using Made = std::variant<std::unique_ptr<Backend>, std::string>;

/// The ABI of an accounting back end that is a class, with no exception past the border. `make`
/// reads the settings. The class has
///
///     Outcome open();
///     Outcome write(std::span<const mp_session_record* const> records, std::uint32_t& done);
///     void cancel() noexcept;
///
/// which promise what mp_accounting does.
template <class Backend, Made<Backend> (*make)(PluginSettings, PluginHost)>
struct AccountingEdge {
    static mp_status create(const mp_host* host, const mp_setting* settings, std::uint32_t count,
                            void** instance, mp_error* error) noexcept
    {
        return guarded(error, MP_E_FAILED, [&] {
            const auto log = [host](mp_log_level level, const std::string& line) {
                host->log(host, level, line.c_str());
            };
            Made<Backend> made = make({settings, count}, {log, host->state_dir});
            if (const auto* wrong = std::get_if<std::string>(&made))
                return fail(error, MP_E_INVALID, *wrong);
            *instance = std::get<0>(made).release();
            return MP_OK;
        });
    }

    static mp_status open(void* instance, mp_error* error) noexcept
    {
        return guarded(error, MP_E_AGAIN, [&] { return report(error, of(instance).open()); });
    }

    static mp_status write(void* instance, const mp_session_record* const* records,
                           std::uint32_t count, std::uint32_t* done, mp_error* error) noexcept
    {
        *done = 0;
        return guarded(error, MP_E_AGAIN, [&] {
            return report(error, of(instance).write({records, count}, *done));
        });
    }

    static void cancel(void* instance) noexcept { of(instance).cancel(); }

    static void destroy(void* instance) noexcept
    {
        const std::unique_ptr<Backend> going(&of(instance));
    }

    static const void* get_interface(const char* id) noexcept
    {
        static constexpr mp_accounting functions = {sizeof functions, 0,      create, open, write,
                                                    cancel,           destroy};
        return std::strcmp(id, MP_ACCOUNTING) == 0 ? &functions : nullptr;
    }

private:
    static Backend& of(void* instance) noexcept { return *static_cast<Backend*>(instance); }

    static mp_status report(mp_error* error, const Outcome& outcome)
    {
        return outcome.status == MP_OK ? MP_OK : fail(error, outcome.status, outcome.message);
    }
};

} // namespace mediaproxy::plugin_support
