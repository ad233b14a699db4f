// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <mediaproxy/accounting.h>
#include <mediaproxy/forwarding.h>

#include "conformance/lent_memory.hpp"
#include "conformance/stage.hpp"
#include "plugin/host.hpp"
#include "plugin/library.hpp"
#include "plugin/settings.hpp"

namespace mediaproxy::conformance
{

/// The plugin, loaded into the process of a trial as the daemon loads it.
class Guest
{
public:
    /// Gives up when the daemon would refuse it.
    explicit Guest(Stage& stage);
    ~Guest();
    Guest(const Guest&) = delete;
    Guest& operator=(const Guest&) = delete;

    Stage& stage() const noexcept { return stage_; }
    const mp_plugin& plugin() const noexcept { return library_->plugin(); }
    const void* interface(const char* id) const;
    const mp_accounting& accounting() const;
    const mp_forwarding& forwarding() const;

private:
    Stage& stage_;
    std::optional<plugin::Library> library_;
};

/// An mp_host that looks at how it is used and hands on to the daemon's own.
class WitnessHost
{
public:
    /// `attachment` is handed back by attachment_of().
    WitnessHost(Stage& stage, std::string owner, void* attachment = nullptr);
    ~WitnessHost();
    WitnessHost(const WitnessHost&) = delete;
    WitnessHost& operator=(const WitnessHost&) = delete;

    const mp_host* abi() const noexcept;
    /// Gives up when the pointer is not that of a host; never null.
    static void* attachment_of(const mp_host* host);

private:
    struct Abi;
    static WitnessHost& of(const mp_host* host, const char* function);
    static void on_log(const mp_host* host, mp_log_level level, const char* message) noexcept;
    static void on_post(const mp_host* host, void (*fn)(void*), void* user) noexcept;
    static mp_status on_watch_fd(const mp_host* host, int fd, std::uint32_t events,
                                 void (*fn)(void*, std::uint32_t), void* user,
                                 std::uint32_t* watch_id) noexcept;
    static void on_unwatch_fd(const mp_host* host, std::uint32_t watch_id) noexcept;
    static const void* on_get_service(const mp_host* host, const char* id) noexcept;
    void require_core_thread(const char* function) const;

    Stage& stage_;
    void* attachment_;
    plugin::Host inner_;
    LentMemory memory_;
};

/// Settings in memory of their own, which is taken back when this object ends.
class LentSettings
{
public:
    explicit LentSettings(std::span<const mp_setting> settings);

    const mp_setting* data() const noexcept { return data_; }
    std::uint32_t count() const noexcept { return count_; }

private:
    std::uint32_t count_;
    LentMemory array_, texts_;
    const mp_setting* data_;
};

/// The subject's settings as create() gets them. Gives up when the plugin does not know one.
class PreparedSettings
{
public:
    explicit PreparedSettings(const Guest& guest);
    std::span<const mp_setting> abi() const noexcept { return settings_->abi(); }

private:
    std::optional<plugin::Settings> settings_;
};

} // namespace mediaproxy::conformance
