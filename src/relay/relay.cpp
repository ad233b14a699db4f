// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/relay.hpp"

#include <algorithm>
#include <array>
#include <fstream>
#include <unistd.h>

#include "base/log.hpp"
#include "base/text.hpp"
#include "relay/relay_state.hpp"

namespace mediaproxy::relay
{

namespace
{

constexpr Seconds default_idle_timeout{120};

Result<void> check(const Options& options)
{
    const PortRange& range = options.port_range;
    if (range.first % 2 != 0 || range.last % 2 != 0 || range.first < 1024 || range.last > 65536 ||
        range.first >= range.last)
        return invalid(fmt::format("port_range {}:{}: two even numbers in 1024..65536, the first "
                                   "below the second",
                                   range.first, range.last));
    if (options.learning_policy != "first")
        return invalid(fmt::format("learning_policy \"{}\": there is \"first\" only",
                                   options.learning_policy));
    const struct {
        std::string_view name;
        Seconds value;
    } positive[] = {{"stream_timeout", options.stream_timeout},
                    {"on_hold_timeout", options.on_hold_timeout},
                    {"answer_timeout", options.answer_timeout},
                    {"dns_check_interval", options.dns_check_interval},
                    {"keepalive_interval", options.keepalive_interval},
                    {"reconnect_delay", options.reconnect_delay},
                    {"idle_timeout", options.idle_timeout.value_or(default_idle_timeout)}};
    for (const auto& setting : positive) {
        if (setting.value < Seconds{1})
            return invalid(fmt::format("{}: at least 1 second", setting.name));
    }
    return {};
}

std::string host_name()
{
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0')
        return "relay";
    return name.data();
}

/// How long the kernel keeps a UDP connection that was used in both directions.
Seconds kernel_idle_timeout()
{
    std::ifstream file("/proc/sys/net/netfilter/nf_conntrack_udp_timeout_stream");
    std::string line;
    std::getline(file, line);
    const auto seconds = text::parse_number<std::uint32_t>(text::trim(line));
    return seconds && *seconds > 0 ? Seconds{*seconds} : default_idle_timeout;
}

/// Descriptors for media: all but some for links, files, forwarding and what the other role needs
/// (about 30 before any proxy connects).
std::size_t media_sockets(std::size_t descriptors)
{
    const std::size_t others = std::clamp<std::size_t>(descriptors / 8, 64, 512);
    return descriptors - std::min(others, descriptors / 2);
}

} // namespace

Relay::Relay(std::unique_ptr<State> state) : state_(std::move(state))
{
}

Relay::~Relay() = default;

Result<std::unique_ptr<Relay>> Relay::create(Options options, Environment environment)
{
    if (auto good = check(options); !good)
        return std::move(good).error();
    auto addresses = LocalAddresses::create(options);
    if (!addresses)
        return std::move(addresses).error();
    if (options.name.empty())
        options.name = host_name();
    const std::size_t descriptors = raise_descriptor_limit();
    const std::size_t sockets = media_sockets(descriptors);
    const Capacity streams = capacity(options.port_range, sockets);
    log::info("relay {}: ports {}:{} are enough for {} streams at each address, {} descriptors for "
              "{} streams",
              options.name, options.port_range.first, options.port_range.last, streams.by_ports,
              descriptors, streams.by_descriptors);
    if (streams.by_descriptors == 0)
        return Error{Error::Code::exhausted,
                     fmt::format("{} descriptors (RLIMIT_NOFILE) are not enough for one stream",
                                 descriptors)};
    const Seconds idle = options.idle_timeout ? *options.idle_timeout : kernel_idle_timeout();
    auto state = std::make_unique<State>(std::move(options), std::move(environment),
                                         State::Ground{*std::move(addresses), sockets, idle});
    if (auto opened = state->open(); !opened)
        return std::move(opened).error();
    return std::unique_ptr<Relay>(new Relay(std::move(state)));
}

void Relay::start()
{
    state_->start();
}

session::OwnerId
Relay::add_local_owner(std::string name,
                       std::function<void(const protocol::SessionReport&)> on_expired)
{
    return state_->add_local_owner(std::move(name), std::move(on_expired));
}

Result<protocol::Ports> Relay::update(const protocol::Update& update, session::OwnerId owner)
{
    return state_->update(update, owner);
}

Result<protocol::SessionReport> Relay::remove(const protocol::Remove& remove)
{
    auto removed = state_->remove(remove);
    if (!removed)
        return std::move(removed).error();
    return std::move(removed->report);
}

void Relay::tell_local_owner(session::OwnerId id)
{
    state_->tell_local_owner(id);
}

void Relay::tell_local_owner_again(session::OwnerId id)
{
    state_->tell_local_owner_again(id);
}

void Relay::acknowledge(session::OwnerId owner, const std::vector<std::string>& record_ids)
{
    state_->acknowledge(owner, record_ids);
}

protocol::RelaySummary Relay::summary() const
{
    return state_->summary();
}

std::uint64_t
Relay::list(std::uint64_t after, std::size_t most,
            const std::function<void(session::OwnerId, const protocol::SessionReport&)>& each) const
{
    return state_->list(after, most, each);
}

void Relay::refresh(std::function<void()> done)
{
    state_->refresh(std::move(done));
}

std::size_t Relay::session_count() const noexcept
{
    return state_->session_count();
}

std::vector<net::Address> Relay::media_addresses() const
{
    return state_->media_addresses();
}

const std::string& Relay::name() const noexcept
{
    return state_->name();
}

void Relay::drain(std::function<void()> drained)
{
    state_->drain(std::move(drained));
}

void Relay::stop(std::function<void()> stopped)
{
    state_->stop(std::move(stopped));
}

} // namespace mediaproxy::relay
