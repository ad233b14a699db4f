// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include <mediaproxy/plugin.h>

namespace mediaproxy::plugin_support
{

/// The sysctls of this network namespace that a back end needs. What it changes it puts back, also
/// what a predecessor changed that died before it could: the old values stand in a file meanwhile.
/// A file of another boot is of no use and removed.
class Sysctls
{
public:
    using Log = std::function<void(mp_log_level, const std::string&)>;

    /// `path` of the file with the old values; "" keeps none.
    Sysctls(std::string path, Log log);

    static std::string read(std::string_view name); ///< "" when there is no such sysctl
    /// `name` (as "net/ipv4/ip_forward") has this value from now on; MP_E_DENIED and a sentence
    /// that names it and its value when it cannot be written.
    mp_status require(const std::string& name, const std::string& value, mp_error& error);
    /// The same of what is better than the present value, but not needed: where it cannot be
    /// written, or somebody has set it back since we or a predecessor changed it, it stays so.
    void prefer(const std::string& name, const std::string& value);
    /// Sets again what somebody else has changed since; false when that was refused.
    bool hold();
    /// Takes over the file of a predecessor that died and used another back end.
    void inherit(const std::string& path);
    /// Puts the old values back.
    void restore();

private:
    struct Entry {
        std::string name, before, value;
        bool refused = false; ///< to be set back; the log has it
    };
    bool load(const std::string& path);
    int change(const std::string& name, const std::string& before, const std::string& value);
    bool remember() const;

    std::string path_;
    Log log_;
    std::vector<Entry> changed_;  ///< by us or by a predecessor that died
    std::vector<Entry> required_; ///< `before` is not used
};

/// Devices, "default" and "all" in `folder` (as "net/ipv6/conf") whose sysctl `leaf` is `value`.
std::vector<std::string> sysctls_with_value(const std::string& folder, const std::string& leaf,
                                            const std::string& value);
/// No look, for every packet that arrives, at the sockets of this host: what is forwarded has none.
void spare_early_demux(Sysctls& sysctls);
/// Of the setting `early_demux`: "off", or "keep" where that look is wanted. False: neither of
/// them.
bool parse_early_demux(std::string_view text, bool& keeps);
/// Makes an IPv6 router of this host, and leaves it the default routes that others advertise to it.
/// MP_E_DENIED as of require().
mp_status require_ipv6_forwarding(Sysctls& sysctls, mp_error& error);

} // namespace mediaproxy::plugin_support
