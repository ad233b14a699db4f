// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <mediaproxy/accounting.h>

#include "base/result.hpp"
#include "plugin/boundary.hpp"
#include "plugin/host.hpp"
#include "plugin/library.hpp"

namespace mediaproxy::plugin
{

/// One instance of an accounting plugin. Made and destroyed on the core thread; open() and write()
/// on its one worker thread.
class AccountingBackend
{
public:
    /// Loads the plugin and makes its instance. No I/O of the plugin's yet.
    static Result<std::unique_ptr<AccountingBackend>> load(asio::io_context& io,
                                                           const PluginSource& source);
    /// The same with a plugin that is linked in.
    static Result<std::unique_ptr<AccountingBackend>>
    create(asio::io_context& io, const mp_plugin& plugin, const PluginSource& source);

    ~AccountingBackend();
    AccountingBackend(const AccountingBackend&) = delete;
    AccountingBackend& operator=(const AccountingBackend&) = delete;

    const std::string& instance() const noexcept { return host_.instance(); }

    /// May block. [worker thread]
    Outcome open();
    /// May block. records[0..done) are durable; the outcome is that of records[done], never
    /// success when there is one. [worker thread]
    Outcome write(std::span<const mp_session_record* const> records, std::uint32_t& done);
    /// Ends a blocking open() or write(), and every later one. [any thread]
    void cancel() noexcept;

private:
    AccountingBackend(asio::io_context& io, const PluginSource& source);
    static Result<std::unique_ptr<AccountingBackend>> create(asio::io_context& io,
                                                             std::optional<Library> library,
                                                             const mp_plugin& plugin,
                                                             const PluginSource& source);

    std::optional<Library> library_; // first: unloaded last
    Host host_;
    const mp_accounting* vtable_ = nullptr;
    void* plugin_instance_ = nullptr;
};

} // namespace mediaproxy::plugin
