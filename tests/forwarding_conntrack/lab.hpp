// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "plugin_host.hpp"
#include "udp_phone.hpp"

namespace conntrack_test
{

using forwarding_test::Family;
using forwarding_test::PluginHost;
using forwarding_test::Refused;
using forwarding_test::same;
using forwarding_test::UdpPhone;

constexpr std::uint64_t ipv4_headers = 28;
constexpr std::uint64_t ipv6_headers = 48;

/// Two network namespaces that end with the object. The thread that made it lives in the relay's:
///
///     caller 10.91.1.2 ---- va 10.91.1.1 relay vb 10.91.2.1 ---- 10.91.2.2 callee
///            fd91:1::2         fd91:1::1          fd91:2::1      fd91:2::2
///            10.91.1.3, one more address behind the caller's device
class Lab
{
public:
    Lab();
    Lab(const Lab&) = delete;
    Lab& operator=(const Lab&) = delete;
    ~Lab();

    /// Runs a shell command in the relay's namespace, or the phones'. Throws when it fails.
    static void relay(const std::string& command);
    void phones(const std::string& command) const;
    /// What it prints.
    static std::string ask(const std::string& command);
    std::string ask_phones(const std::string& command) const;
    static void sysctl(const std::string& name, const std::string& value);
    static std::string sysctl(const std::string& name);

    UdpPhone phone(const std::string& address) const;
    static UdpPhone socket(const std::string& address);

private:
    void make_network() const;

    int home_, phones_, relay_;
};

/// Two phones and the relay's two sockets between them.
struct LabCall {
    UdpPhone caller, relay_caller, relay_callee, callee;

    explicit LabCall(const Lab& lab, Family family = Family::ipv4);
    /// Both phones behind the caller's device.
    static LabCall behind_one_device(const Lab& lab);
    mp_flow flow(mp_flow_id id) const;

private:
    LabCall(const Lab& lab, const std::string& caller_net, const std::string& callee_net,
            const std::string& callee_host);
};

/// A folder that ends with the object.
class Folder
{
public:
    Folder();
    ~Folder();
    const std::string& path() const { return path_; }

private:
    std::string path_;
};

/// Nobody, this process included, may write sysctls as long as the object lives.
class ReadOnlySysctls
{
public:
    ReadOnlySysctls();
    ReadOnlySysctls(const ReadOnlySysctls&) = delete;
    ReadOnlySysctls& operator=(const ReadOnlySysctls&) = delete;
    ~ReadOnlySysctls();

private:
    int mounts_, folder_; ///< where this process was
};

} // namespace conntrack_test
