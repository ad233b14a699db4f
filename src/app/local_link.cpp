// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/local_link.hpp"

#include <algorithm>
#include <limits>

namespace mediaproxy::app
{

namespace
{

const net::Address loopback = net::Address::v4({127, 0, 0, 1});

} // namespace

LocalLink::LocalLink(relay::Relay& relay, std::string owner_name, ExpiredHandler on_expired)
    : relay_(relay), media_addresses_(relay.media_addresses()),
      address_(media_addresses_.empty() ? loopback : media_addresses_.front()),
      owner_(relay.add_local_owner(
          std::move(owner_name),
          [this, on_expired = std::move(on_expired),
           alive = std::weak_ptr<int>(alive_)](const protocol::SessionReport& report) {
              if (!alive.expired())
                  on_expired(*this, report);
          }))
{
    known_as_.push_back(relay.name());
    for (const net::Address& address : media_addresses_)
        known_as_.push_back(address.to_string());
}

const std::string& LocalLink::name() const noexcept
{
    return relay_.name();
}

bool LocalLink::is_called(std::string_view media_relay) const noexcept
{
    return std::find(known_as_.begin(), known_as_.end(), media_relay) != known_as_.end();
}

bool LocalLink::serves(net::Family family) const noexcept
{
    return std::any_of(media_addresses_.begin(), media_addresses_.end(),
                       [&](const net::Address& address) { return address.family() == family; });
}

std::size_t LocalLink::session_count() const noexcept
{
    return relay_.session_count();
}

void LocalLink::update(const protocol::Request&, const protocol::Update& update, PortsHandler done)
{
    Result<protocol::Ports> ports = relay_.update(update, owner_);
    // The relay says unavailable for `halting`, peers say denied.
    if (!ports && ports.error().code == Error::Code::unavailable)
        done(Error{Error::Code::denied, ports.error().message});
    else
        done(std::move(ports));
}

void LocalLink::remove(const protocol::Remove& remove, ReportHandler done)
{
    done(relay_.remove(remove));
}

void LocalLink::sessions(ReportsHandler done)
{
    after_refresh([this, done = std::move(done)] {
        std::vector<protocol::SessionReport> reports;
        relay_.list(0, std::numeric_limits<std::size_t>::max(),
                    [&](session::OwnerId owner, const protocol::SessionReport& report) {
                        if (owner == owner_)
                            reports.push_back(report);
                    });
        done(std::move(reports));
    });
}

void LocalLink::session_page(std::uint64_t after, std::size_t most, PageHandler done)
{
    auto answer = [this, after, most, done = std::move(done)] {
        Page page;
        page.next =
            relay_.list(after, most, [&](session::OwnerId owner, const protocol::SessionReport& r) {
                if (owner != owner_)
                    return;
                page.sessions += page.sessions.empty() ? "[" : ", ";
                append_json(page.sessions, r);
            });
        page.sessions += page.sessions.empty() ? "[]" : "]";
        done(std::move(page));
    };
    // One look at the counters is enough for all pages of a list.
    if (after == 0)
        after_refresh(std::move(answer));
    else
        answer();
}

void LocalLink::summary(TextHandler done)
{
    done(to_json(relay_.summary()));
}

void LocalLink::acknowledge(const std::vector<std::string>& record_ids, AcknowledgedHandler done)
{
    relay_.acknowledge(owner_, record_ids);
    done(true);
}

/// The counters of the fast path first; nothing when this object is gone by then.
void LocalLink::after_refresh(std::function<void()> go_on)
{
    relay_.refresh([go_on = std::move(go_on), alive = std::weak_ptr<int>(alive_)] {
        if (!alive.expired())
            go_on();
    });
}

} // namespace mediaproxy::app
