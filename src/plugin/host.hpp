// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <memory>
#include <string>

#include <mediaproxy/plugin.h>

#include "plugin/source.hpp"

namespace mediaproxy::plugin
{

/// What the daemon does for one plugin instance: the mp_host behind its pointer. Made and destroyed
/// on the core thread, destroyed after the plugin's destroy(): what was posted and not yet run is
/// then dropped, and every watch ends.
class Host
{
public:
    /// `instance` is the name in log lines. `attachment` is handed back by attachment_of().
    Host(asio::io_context& io, std::string instance, HostOptions options,
         void* attachment = nullptr);
    ~Host();
    Host(const Host&) = delete;
    Host& operator=(const Host&) = delete;

    const mp_host* abi() const noexcept;
    const std::string& instance() const noexcept;
    void log(mp_log_level level, std::string_view text) const;
    static void* attachment_of(const mp_host* host) noexcept;

private:
    struct State;
    std::shared_ptr<State> state_;
};

} // namespace mediaproxy::plugin
