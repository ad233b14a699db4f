// SPDX-License-Identifier: GPL-2.0-or-later
#include "plugin/accounting_backend.hpp"

#include <utility>

#include "plugin/settings.hpp"

namespace mediaproxy::plugin
{

AccountingBackend::AccountingBackend(asio::io_context& io, const PluginSource& source)
    : host_(io, instance_name(Kind::accounting, source), source.host)
{
}

Result<std::unique_ptr<AccountingBackend>> AccountingBackend::load(asio::io_context& io,
                                                                   const PluginSource& source)
{
    Result<Library> library = Library::open(source.dir, Kind::accounting, source.name);
    if (!library)
        return std::move(library).error();
    const mp_plugin& plugin = library->plugin();
    return create(io, *std::move(library), plugin, source);
}

Result<std::unique_ptr<AccountingBackend>>
AccountingBackend::create(asio::io_context& io, const mp_plugin& plugin, const PluginSource& source)
{
    return create(io, std::nullopt, plugin, source);
}

Result<std::unique_ptr<AccountingBackend>> AccountingBackend::create(asio::io_context& io,
                                                                     std::optional<Library> library,
                                                                     const mp_plugin& plugin,
                                                                     const PluginSource& source)
{
    const std::string instance = instance_name(Kind::accounting, source);
    const auto settings = Settings::prepare(plugin, instance, source.settings, source.folder);
    if (!settings)
        return settings.error();
    const auto interface = find_interface(plugin, Kind::accounting);
    if (!interface)
        return interface.error();

    std::unique_ptr<AccountingBackend> backend(new AccountingBackend(io, source));
    backend->library_ = std::move(library);
    const auto* const vtable = static_cast<const mp_accounting*>(*interface);
    const auto abi = settings->abi();
    const Outcome outcome = enter_plugin([&](mp_error* error) {
        return vtable->create(backend->host_.abi(), abi.data(),
                              static_cast<std::uint32_t>(abi.size()), &backend->plugin_instance_,
                              error);
    });
    if (!outcome.ok())
        return to_error(instance, outcome);
    backend->vtable_ = vtable;
    return backend;
}

AccountingBackend::~AccountingBackend()
{
    if (vtable_ == nullptr)
        return;
    const Outcome outcome = enter_plugin([&](mp_error*) {
        vtable_->destroy(plugin_instance_);
        return MP_OK;
    });
    if (!outcome.ok())
        host_.log(MP_LOG_ERROR, outcome.message);
}

Outcome AccountingBackend::open()
{
    return enter_plugin([&](mp_error* error) { return vtable_->open(plugin_instance_, error); });
}

Outcome AccountingBackend::write(std::span<const mp_session_record* const> records,
                                 std::uint32_t& done)
{
    done = 0;
    const auto count = static_cast<std::uint32_t>(records.size());
    Outcome outcome = enter_plugin([&](mp_error* error) {
        return vtable_->write(plugin_instance_, records.data(), count, &done, error);
    });
    if (done > count) {
        done = 0;
        return {MP_E_AGAIN, "says that it wrote more records than it was given"};
    }
    if (outcome.ok() && done < count)
        return {MP_E_AGAIN, "wrote fewer records than it was given without saying why"};
    if (done == count)
        return {};
    return outcome;
}

void AccountingBackend::cancel() noexcept
{
    if (vtable_->cancel == nullptr)
        return;
    try {
        vtable_->cancel(plugin_instance_);
    } catch (...) {
        host_.log(MP_LOG_ERROR, "cancel threw an exception");
    }
}

} // namespace mediaproxy::plugin
