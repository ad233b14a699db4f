// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <filesystem>
#include <string>

#include "udp_phone.hpp"

namespace forwarding_test
{

/// A network for one test of a kernel back end, gone with it: this process is in a network
/// namespace of its own, the relay's, with two devices to a second one, where the phones are.
///
///   caller 10.71.1.2, fd71:1::2 -- pa ra -- 10.71.1.1, fd71:1::1 [relay]
///   callee 10.71.2.2, fd71:2::2 -- pb rb -- 10.71.2.1, fd71:2::1
class KernelLab
{
public:
    KernelLab();
    ~KernelLab();
    KernelLab(const KernelLab&) = delete;
    KernelLab& operator=(const KernelLab&) = delete;

    /// A socket in the phones' namespace, or the relay's.
    UdpPhone phone(const std::string& address) const;
    UdpPhone relay_socket(const std::string& address) const;
    /// Runs a command line in one of the namespaces and gives its output; throws when it fails.
    std::string run(const std::string& command) const;
    std::string run_at_phones(const std::string& command) const;
    /// A raw IPv4 socket at the phones; the caller closes it.
    int raw_socket_at_phones(int protocol) const;
    int phones_namespace() const { return phones_; }

    static std::string sysctl(const std::string& name); ///< as "net/ipv4/ip_forward"
    static void set_sysctl(const std::string& name, const std::string& value);

    /// A folder for the state of a daemon.
    const std::string& state_dir() const { return state_dir_; }

private:
    template <class Body>
    auto at_phones(Body&& body) const;

    int relay_ = -1, phones_ = -1; ///< namespaces
    std::string state_dir_;
};

mp_endpoint endpoint(const std::string& address, std::uint16_t port = 0);

/// Two phones and the two relay sockets between them, over the two devices of a lab.
struct LabCall {
    UdpPhone caller, relay_caller, relay_callee, callee;

    explicit LabCall(const KernelLab& lab, Family family = Family::ipv4)
        : caller(lab.phone(family == Family::ipv4 ? "10.71.1.2" : "fd71:1::2")),
          relay_caller(lab.relay_socket(family == Family::ipv4 ? "10.71.1.1" : "fd71:1::1")),
          relay_callee(lab.relay_socket(family == Family::ipv4 ? "10.71.2.1" : "fd71:2::1")),
          callee(lab.phone(family == Family::ipv4 ? "10.71.2.2" : "fd71:2::2"))
    {
    }
    mp_flow flow(mp_flow_id id) const;
    /// A packet each way with the relay's sockets in between, so that everybody knows everybody.
    void greet() const;
};

} // namespace forwarding_test
