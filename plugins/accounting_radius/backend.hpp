// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include <mediaproxy/accounting.h>

#include "client_file.hpp"
#include "exchange.hpp"
#include "settings.hpp"
#include "support/accounting_edge.hpp"

namespace mediaproxy::accounting_radius
{

/// Sends records to RADIUS servers, the first that acknowledges. One thread; cancel() from any.
class Backend
{
public:
    Backend(Settings settings, plugin_support::Log log);

    /// Reads the files and asks for the servers' addresses; every time, so that a file which a
    /// person repaired counts.
    plugin_support::Outcome open();

    plugin_support::Outcome write(std::span<const mp_session_record* const> records,
                                  std::uint32_t& done);

    void cancel() noexcept { cancelled_.raise(); }

private:
    using Clock = std::chrono::steady_clock;
    struct Delivery;

    std::optional<Failure> read_files();
    std::optional<Failure> read_dictionaries(const std::string& of_the_proxy);
    std::optional<Failure> find_servers(const ClientFile& file);
    std::optional<Failure> add_server(const NamedServer& named, const Secrets& secrets);
    Bytes encode(const mp_session_record& record);
    std::vector<const Server*> in_order() const;
    void deliver(Delivery& delivery);
    Delivery prepare(std::span<const mp_session_record* const> records);
    bool answers_others(const Server& server);
    bool took_others_since(const Server& server, const std::string& record_id) const;
    void ask(const Server& server, Delivery& delivery);
    plugin_support::Outcome judge(const std::string& record_id, const Delivery& delivery);
    std::optional<plugin_support::Outcome> park(const std::string& record_id);

    const Settings settings_;
    const plugin_support::Log log_;
    Signal cancelled_;

    // As of the last open().
    Choices choices_;
    std::map<std::string, Number> numbers_;
    std::vector<Server> servers_;
    std::optional<SocketAddress> from_;
    Patience patience_;
    std::chrono::seconds dead_time_{0};

    std::map<std::string, Clock::time_point> dead_until_; ///< by the server's name
    struct Taken {
        Bytes body;
        Clock::time_point new_at; ///< when it last acknowledged a record that was sent only once
    };
    std::map<std::string, Taken> taken_; ///< what the server of that name acknowledged last
    std::set<std::string> acknowledged_; ///< record ids that the host was not told of yet
    struct PassedOver {
        Clock::time_point first_sent;
        int times = 0; ///< that servers took others
    };
    std::map<std::string, PassedOver> passed_over_; ///< records that were sent, by their ids
    std::set<std::string> cut_;                     ///< attributes of which the log said so
};

} // namespace mediaproxy::accounting_radius
