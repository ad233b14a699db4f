// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "dispatcher/relay_peer.hpp"
#include "relay/relay.hpp"

namespace mediaproxy::app
{

/// The relay of the same process as the dispatcher sees it: calls instead of a connection, answers
/// before the call returns. [core thread]
class LocalLink final : public dispatcher::RelayPeer
{
public:
    using ExpiredHandler = std::function<void(LocalLink&, const protocol::SessionReport&)>;
    /// `relay` is borrowed; `owner_name` is the dispatcher's. `on_expired` gets what ends there by
    /// itself.
    LocalLink(relay::Relay& relay, std::string owner_name, ExpiredHandler on_expired);

    /// The relay drains: no new sessions are tried here.
    void halt() noexcept { state_ = State::halting; }
    /// What an earlier run of this process has left for the dispatcher comes to `on_expired`.
    void tell_of_earlier_run() { relay_.tell_local_owner(owner_); }

    const std::string& name() const noexcept override;
    const net::Address& address() const noexcept override { return address_; }
    bool is_called(std::string_view media_relay) const noexcept override;
    bool serves(net::Family family) const noexcept override;
    bool is_ours() const noexcept override { return true; }
    State state() const noexcept override { return state_; }
    std::size_t session_count() const noexcept override;

    void update(const protocol::Request& request, const protocol::Update& update,
                PortsHandler done) override;
    void remove(const protocol::Remove& remove, ReportHandler done) override;
    void sessions(ReportsHandler done) override;
    void session_page(std::uint64_t after, std::size_t most, PageHandler done) override;
    void summary(TextHandler done) override;
    /// The relay hands out a report once; what it keeps is the copy of the call in the store.
    bool keeps_records() const noexcept override { return true; }
    void acknowledge(const std::vector<std::string>& record_ids, AcknowledgedHandler done) override;
    void tell_again() override { relay_.tell_local_owner_again(owner_); }
    void unsent_letters(CountHandler done) override { done(std::size_t{0}); }

private:
    void after_refresh(std::function<void()> go_on);

    std::shared_ptr<int> alive_ = std::make_shared<int>(); ///< callbacks of the relay look at it
    relay::Relay& relay_;
    std::vector<net::Address> media_addresses_;
    std::vector<std::string> known_as_;
    net::Address address_;
    State state_ = State::active;
    session::OwnerId owner_;
};

} // namespace mediaproxy::app
