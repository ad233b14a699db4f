// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "elements.hpp"
#include "support/ration.hpp"
#include "support/sysctls.hpp"

namespace forwarding_nftables
{

/// The sysctls of the host that forwarding through its routing needs. Those of `all` are enough:
/// the kernel takes accept_local of `all` or of the device, and the looser (greater) rp_filter of
/// both, so devices that appear later are covered.
class Environment
{
public:
    using Log = mediaproxy::plugin_support::Sysctls::Log;

    /// `path` of the file with what was changed; "" keeps none.
    Environment(std::string path, Log log) : sysctls_(std::move(path), std::move(log)) {}

    /// Sets what this family needs; what is set already is looked at again. MP_E_DENIED and a
    /// sentence that names the sysctl when it cannot be set.
    mp_status prepare(Family family, mp_error& error);
    /// Sets again what somebody has changed since; false, and a sentence, when that was refused.
    mp_status hold(mp_error& error);
    void spare_early_demux() { mediaproxy::plugin_support::spare_early_demux(sysctls_); }
    /// What a predecessor changed that used another back end and died.
    void inherit(const std::string& path) { sysctls_.inherit(path); }
    void restore() { sysctls_.restore(); }

private:
    mp_status prepare_ipv4(mp_error& error);

    mediaproxy::plugin_support::Sysctls sysctls_;
    bool ipv4_ = false, ipv6_ = false;         ///< prepared
    mediaproxy::plugin_support::Ration looks_; ///< at each device
    mp_status refused_ = MP_OK;                ///< by the last one, and why
    mp_error refusal_{};
};

} // namespace forwarding_nftables
