// SPDX-License-Identifier: GPL-2.0-or-later
#include <cstring>
#include <memory>
#include <utility>

#include <mediaproxy/accounting.h>

#include "database.hpp"
#include "options.hpp"
#include "support/failure.hpp"

namespace mediaproxy::accounting_sqlite
{

namespace
{

using plugin_support::fail;
using plugin_support::guarded;

mp_status report(mp_error* error, const Outcome& outcome)
{
    return outcome.status == MP_OK ? MP_OK : fail(error, outcome.status, outcome.message);
}

mp_status create(const mp_host* host, const mp_setting* settings, std::uint32_t count,
                 void** instance, mp_error* error) noexcept
{
    return guarded(error, MP_E_FAILED, [&] {
        auto options = read_options({settings, count}, host->state_dir);
        if (const auto* wrong = std::get_if<std::string>(&options))
            return fail(error, MP_E_INVALID, *wrong);
        const auto log = [host](mp_log_level level, const std::string& line) {
            host->log(host, level, line.c_str());
        };
        *instance =
            std::make_unique<Database>(std::get<Options>(std::move(options)), log).release();
        return MP_OK;
    });
}

mp_status open(void* instance, mp_error* error) noexcept
{
    return guarded(error, MP_E_AGAIN,
                   [&] { return report(error, static_cast<Database*>(instance)->open()); });
}

mp_status write(void* instance, const mp_session_record* const* records, std::uint32_t count,
                std::uint32_t* done, mp_error* error) noexcept
{
    *done = 0;
    return guarded(error, MP_E_AGAIN, [&] {
        return report(error, static_cast<Database*>(instance)->write({records, count}, *done));
    });
}

void cancel(void* instance) noexcept
{
    static_cast<Database*>(instance)->cancel();
}

void destroy(void* instance) noexcept
{
    const std::unique_ptr<Database> database(static_cast<Database*>(instance));
}

constexpr mp_accounting accounting = {sizeof accounting, 0, create, open, write, cancel, destroy};

const void* get_interface(const char* id) noexcept
{
    return std::strcmp(id, MP_ACCOUNTING) == 0 ? &accounting : nullptr;
}

} // namespace

} // namespace mediaproxy::accounting_sqlite

const mp_plugin mediaproxy_plugin = {
    MP_ABI_VERSION,
    sizeof(mp_plugin),
    "sqlite",
    "1.0",
    "accounting records in a table of an SQLite database",
    mediaproxy::accounting_sqlite::setting_keys,
    mediaproxy::accounting_sqlite::get_interface,
};
