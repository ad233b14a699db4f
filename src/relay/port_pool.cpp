// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/port_pool.hpp"

#include <algorithm>
#include <array>
#include <asio/post.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <iterator>
#include <sys/resource.h>

#include "base/log.hpp"
#include "relay/media_socket.hpp"

namespace mediaproxy::relay
{

using session::ComponentKind;

namespace
{

/// Among how many pairs that rested longest the next one is chosen at random.
constexpr std::size_t choice = 16;
/// A socket's queue holds fewer packets than that.
constexpr std::size_t most_drained = 1024;
/// How many pairs that still get packets are passed over in one search.
constexpr std::size_t most_noisy = 64;
constexpr std::size_t refill_step = 4;
constexpr std::size_t shrink_step = 128;
constexpr std::uint32_t nowhere = UINT32_MAX;

bool out_of_descriptors(int error) noexcept
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

Error no_socket(int error)
{
    return Error{out_of_descriptors(error) ? Error::Code::exhausted : Error::Code::io,
                 fmt::format("no socket for media: {}", strerror(error))};
}

} // namespace

/// A pair of sockets. 32 bytes: two of them are part of what each stream costs.
struct PortPool::Slot {
    session::Stream* owner = nullptr; ///< null while not lent
    TimePoint freed{};                ///< or when somebody sent to it afterwards
    int rtp = -1;
    int rtcp = -1;
    net::Port port = 0;
    std::uint16_t pool = 0;
    session::Party party = session::Party::caller;
    bool heard = false; ///< since it was freed
};

/// The pairs of one local address.
struct PortPool::Pool {
    net::Address bind;
    UnboundPorts unbound;
    std::deque<SlotNumber> idle;     ///< used before; the one free longest is in front
    std::vector<SlotNumber> warm;    ///< bound ahead of need, never used
    std::vector<SlotNumber> by_port; ///< of the port range, pair by pair; `nowhere`: not bound
    std::size_t least_idle = 0;      ///< since the pool was shrunk last
    std::uint16_t index = 0;
    bool refilling = false;
    std::size_t free() const noexcept { return idle.size() + warm.size(); }
};

PortPool::PortPool(asio::io_context& io, MediaPoller& poller, LocalAddresses addresses,
                   PortRange range, std::vector<net::Endpoint> control_addresses, Limits limits)
    : io_(io), poller_(poller), addresses_(std::move(addresses)), range_(range),
      control_addresses_(std::move(control_addresses)), limits_(limits),
      random_(std::random_device{}()), shrink_timer_(io), alive_(std::make_shared<PortPool*>(this))
{
    shrink_later();
}

PortPool::~PortPool()
{
    stop();
    for (SlotNumber number = 0; number < slots_.size(); ++number)
        close_slot(number);
}

void PortPool::stop()
{
    *alive_ = nullptr;
    shrink_timer_.cancel();
}

Result<session::LocalAddress> PortPool::local_address(net::Family family,
                                                      const net::Address& toward)
{
    return addresses_.choose(family, toward, BootClock::now());
}

Result<session::PortPair> PortPool::acquire(const session::LocalAddress& local,
                                            session::Stream& owner, session::Party party)
{
    const TimePoint now = BootClock::now();
    Pool& pool = pool_of(local.bind);
    auto taken = take(pool, now);
    pool.least_idle = std::min(pool.least_idle, pool.idle.size());
    if (!taken)
        return std::move(taken).error();
    Slot& slot = slots_[*taken];
    slot.owner = &owner;
    slot.party = party;
    ++lent_;
    if (pool.warm.size() < limits_.reserve_pairs)
        refill_later(pool.index);
    return session::PortPair{*taken, {local.bind, slot.port}, local.advertised};
}

void PortPool::release(const session::PortPair& pair) noexcept
{
    Slot& slot = slots_[pair.slot];
    slot.owner = nullptr;
    slot.heard = false;
    slot.freed = BootClock::now();
    pools_[slot.pool]->idle.push_back(pair.slot);
    --lent_;
}

session::SocketRole PortPool::lent_at(const net::Endpoint& endpoint) const noexcept
{
    if (endpoint.port < range_.first || endpoint.port >= range_.last)
        return {};
    const auto& advertised = addresses_.advertised();
    const bool is_advertised =
        std::find(advertised.begin(), advertised.end(), endpoint.address) != advertised.end();
    const auto kind = endpoint.port % 2 == 0 ? ComponentKind::rtp : ComponentKind::rtcp;
    for (const auto& pool : pools_) {
        const bool may_be = pool->bind == endpoint.address ||
                            (is_advertised && pool->bind.family() == endpoint.address.family());
        const SlotNumber number = pool->by_port[pair_number(endpoint.port)];
        if (may_be && number != nowhere && slots_[number].owner)
            return role({number, kind});
    }
    return {};
}

bool PortPool::is_control(const net::Endpoint& endpoint) const noexcept
{
    const auto is_local = [&](const net::Address& address) {
        return address.is_loopback() ||
               std::any_of(pools_.begin(), pools_.end(),
                           [&](const auto& pool) { return pool->bind == address; }) ||
               std::find(addresses_.bound().begin(), addresses_.bound().end(), address) !=
                   addresses_.bound().end();
    };
    return std::any_of(control_addresses_.begin(), control_addresses_.end(),
                       [&](const net::Endpoint& control) {
                           if (control.port != endpoint.port)
                               return false;
                           return control.address.is_unspecified() ? is_local(endpoint.address)
                                                                   : control == endpoint;
                       });
}

session::SocketRole PortPool::role(SocketId id) const noexcept
{
    if (id.slot >= slots_.size())
        return {};
    const Slot& slot = slots_[id.slot];
    return {slot.owner, slot.party, id.component};
}

int PortPool::fd(SocketId id) const noexcept
{
    if (id.slot >= slots_.size())
        return -1;
    const Slot& slot = slots_[id.slot];
    return id.component == ComponentKind::rtp ? slot.rtp : slot.rtcp;
}

PortPool::Pool& PortPool::pool_of(const net::Address& bind)
{
    const auto found = std::find_if(pools_.begin(), pools_.end(),
                                    [&](const auto& pool) { return pool->bind == bind; });
    if (found != pools_.end())
        return **found;
    pools_.push_back(std::make_unique<Pool>(Pool{bind, UnboundPorts(range_, random_), {}, {}, {}}));
    pools_.back()->index = static_cast<std::uint16_t>(pools_.size() - 1);
    pools_.back()->by_port.assign((range_.last - range_.first) / 2, nowhere);
    return *pools_.back();
}

void PortPool::on_unowned(SocketId id, TimePoint now) noexcept
{
    if (id.slot >= slots_.size())
        return;
    Slot& slot = slots_[id.slot];
    slot.freed = now;
    slot.heard = true;
}

bool PortPool::has_rested(SlotNumber number, TimePoint now) const noexcept
{
    return slots_[number].freed + limits_.rest <= now;
}

/// In this order: a rested pair, one bound ahead of need, a new one, one that did not rest.
Result<PortPool::SlotNumber> PortPool::take(Pool& pool, TimePoint now)
{
    if (const auto rested = pick_rested(pool, now))
        return *rested;
    const auto warm = std::find_if(pool.warm.rbegin(), pool.warm.rend(),
                                   [&](SlotNumber number) { return has_rested(number, now); });
    if (warm != pool.warm.rend())
        return pick_warm(pool, std::next(warm).base());
    if (!pool.idle.empty() && pool.idle.size() >= limits_.most_idle_pairs)
        return pick_any(pool);
    auto bound = bind_pair(pool, now);
    if (!bound && !pool.idle.empty())
        return pick_any(pool);
    if (!bound && !pool.warm.empty())
        return pick_warm(pool, std::prev(pool.warm.end()));
    return bound;
}

PortPool::SlotNumber PortPool::pick_warm(Pool& pool, std::vector<SlotNumber>::iterator which)
{
    const SlotNumber number = *which;
    pool.warm.erase(which);
    drain(number);
    return number;
}

/// Puts those in front that somebody still sends to behind the others: they are free since then.
void PortPool::put_noisy_back(Pool& pool, TimePoint now)
{
    for (std::size_t i = 0; i < most_noisy && !pool.idle.empty(); ++i) {
        const SlotNumber number = pool.idle.front();
        if (!slots_[number].heard || has_rested(number, now))
            return;
        pool.idle.pop_front();
        pool.idle.push_back(number);
    }
}

/// One of those free longest, at random. A pair that somebody still sends to is left for later: he
/// would be taken for a party of the next call.
std::optional<PortPool::SlotNumber> PortPool::pick_rested(Pool& pool, TimePoint now)
{
    put_noisy_back(pool, now);
    std::array<std::size_t, choice> rested{};
    std::size_t found = 0;
    const std::size_t most = std::min(choice + most_noisy, pool.idle.size());
    for (std::size_t i = 0; i < most && found < choice; ++i) {
        if (has_rested(pool.idle[i], now))
            rested[found++] = i;
        else if (!slots_[pool.idle[i]].heard)
            break; // those behind it were given back later
    }
    for (; found > 0; --found) {
        std::swap(rested[random_() % found], rested[found - 1]);
        const SlotNumber number = pool.idle[rested[found - 1]];
        if (drain(number) > 0) {
            slots_[number].freed = now;
            slots_[number].heard = true;
            continue;
        }
        std::swap(pool.idle.front(), pool.idle[rested[found - 1]]);
        pool.idle.pop_front();
        return number;
    }
    return std::nullopt;
}

/// The one that rested longest of those in front.
PortPool::SlotNumber PortPool::pick_any(Pool& pool)
{
    const auto end =
        pool.idle.begin() + static_cast<std::ptrdiff_t>(std::min(choice, pool.idle.size()));
    const auto longest = std::min_element(pool.idle.begin(), end, [&](SlotNumber a, SlotNumber b) {
        return slots_[a].freed < slots_[b].freed;
    });
    std::iter_swap(pool.idle.begin(), longest);
    const SlotNumber number = pool.idle.front();
    pool.idle.pop_front();
    drain(number);
    return number;
}

std::size_t PortPool::drain(SlotNumber number) noexcept
{
    if (poller_.is_quiet()) // as a rule, and half the price of asking both sockets
        return 0;
    const Slot& slot = slots_[number];
    return drain_socket(slot.rtp, most_drained) + drain_socket(slot.rtcp, most_drained);
}

/// Tries one pair after the other until one can be bound. A socket that was refused a port can
/// try the next, so a range that is full of others' sockets costs little.
Result<PortPool::SlotNumber> PortPool::bind_pair(Pool& pool, TimePoint now)
{
    net::Port port = pool.unbound.take(now);
    UniqueFd rtp, rtcp;
    for (; port != 0; port = pool.unbound.take(now)) {
        if (auto opened = open_pair(pool, rtp, rtcp); !opened) {
            pool.unbound.give_back(port);
            return std::move(opened).error();
        }
        int error = bind_udp(rtp.get(), {pool.bind, port});
        if (error == 0) {
            error = bind_udp(rtcp.get(), {pool.bind, static_cast<net::Port>(port + 1)});
            if (error == 0)
                return open_slot(pool, port, std::move(rtp), std::move(rtcp));
            rtp.reset(); // It is bound and of no use now.
        }
        pool.unbound.set_aside(port, now + limits_.set_aside);
        if (error != EADDRINUSE && error != EACCES)
            return Error{Error::Code::io, fmt::format("{} cannot be bound: {}",
                                                      pool.bind.to_string(), strerror(error))};
    }
    return Error{Error::Code::exhausted,
                 fmt::format("no port left at {} in {}:{}", pool.bind.to_string(), range_.first,
                             range_.last)};
}

/// Makes those of the two sockets that are missing.
Result<void> PortPool::open_pair(const Pool& pool, UniqueFd& rtp, UniqueFd& rtcp)
{
    if ((bound_ + 1) * 2 > limits_.sockets && !make_room(pool))
        return no_socket(EMFILE);
    for (UniqueFd* fd : {&rtp, &rtcp}) {
        if (!*fd)
            *fd = open_udp(pool.bind.family());
        if (!*fd)
            return no_socket(errno);
    }
    return {};
}

Result<PortPool::SlotNumber> PortPool::open_slot(Pool& pool, net::Port port, UniqueFd rtp,
                                                 UniqueFd rtcp)
{
    SlotNumber number = 0;
    if (vacant_.empty()) {
        number = static_cast<SlotNumber>(slots_.size());
        slots_.emplace_back();
    } else {
        number = vacant_.back();
        vacant_.pop_back();
    }
    Result<void> watched = poller_.add(rtp.get(), {number, ComponentKind::rtp});
    if (watched)
        watched = poller_.add(rtcp.get(), {number, ComponentKind::rtcp});
    if (!watched) {
        vacant_.push_back(number);
        pool.unbound.give_back(port);
        return std::move(watched).error(); // The sockets close here and are watched no more.
    }
    Slot& slot = slots_[number];
    slot = Slot{};
    slot.rtp = rtp.release();
    slot.rtcp = rtcp.release();
    slot.port = port;
    slot.pool = pool.index;
    pool.by_port[pair_number(port)] = number;
    ++bound_;
    return number;
}

/// Other addresses may hold pairs that nobody needs now.
bool PortPool::make_room(const Pool& pool)
{
    for (const auto& other : pools_) {
        if (other.get() == &pool || other->free() == 0)
            continue;
        const bool is_warm = !other->warm.empty();
        const SlotNumber number = is_warm ? other->warm.back() : other->idle.front();
        if (is_warm)
            other->warm.pop_back();
        else
            other->idle.pop_front();
        other->least_idle = std::min(other->least_idle, other->idle.size());
        close_slot(number);
        return true;
    }
    return false;
}

void PortPool::close_slot(SlotNumber number) noexcept
{
    Slot& slot = slots_[number];
    if (slot.rtp < 0)
        return;
    // Closing the only descriptor of a socket ends its watch, too.
    ::close(slot.rtp);
    ::close(slot.rtcp);
    pools_[slot.pool]->unbound.give_back(slot.port);
    pools_[slot.pool]->by_port[pair_number(slot.port)] = nowhere;
    slot = Slot{};
    vacant_.push_back(number);
    --bound_;
}

/// Posted twice: the reply that this call is part of leaves at the end of this turn of the loop,
/// the sockets are made in the next one.
void PortPool::refill_later(std::size_t pool_index)
{
    Pool& pool = *pools_[pool_index];
    if (pool.refilling || pool.free() >= limits_.most_idle_pairs)
        return;
    pool.refilling = true;
    asio::post(io_, [this, alive = alive_, pool_index] {
        if (*alive == nullptr)
            return;
        asio::post(io_, [this, alive, pool_index] {
            if (*alive != nullptr)
                refill(pool_index);
        });
    });
}

void PortPool::refill(std::size_t pool_index)
{
    Pool& pool = *pools_[pool_index];
    pool.refilling = false;
    const TimePoint now = BootClock::now();
    for (std::size_t i = 0; i < refill_step && pool.warm.size() < limits_.reserve_pairs; ++i) {
        if ((bound_ + 1) * 2 > limits_.sockets)
            return;
        auto bound = bind_pair(pool, now);
        if (!bound)
            return;
        pool.warm.push_back(*bound);
    }
    if (pool.warm.size() < limits_.reserve_pairs)
        refill_later(pool_index);
}

void PortPool::shrink_later()
{
    shrink_timer_.expires_after(limits_.shrink_interval);
    shrink_timer_.async_wait([this, alive = alive_](const asio::error_code& error) {
        if (error || *alive == nullptr)
            return;
        shrink();
        shrink_later();
    });
}

/// Half of what lay idle all the time since the last look, the ones free longest, in small
/// portions: freeing a socket costs the kernel more than making it.
void PortPool::shrink()
{
    for (const auto& pool : pools_) {
        const std::size_t portion = std::min((pool->least_idle + 1) / 2, shrink_step);
        for (std::size_t i = 0; i < portion; ++i) {
            const SlotNumber number = pool->idle.front();
            pool->idle.pop_front();
            close_slot(number);
        }
        pool->least_idle = pool->idle.size();
    }
}

std::size_t raise_descriptor_limit() noexcept
{
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return 1024;
    if (limit.rlim_cur < limit.rlim_max) {
        rlimit raised = limit;
        raised.rlim_cur = limit.rlim_max;
        if (::setrlimit(RLIMIT_NOFILE, &raised) == 0)
            limit = raised;
    }
    return static_cast<std::size_t>(limit.rlim_cur);
}

Capacity capacity(PortRange range, std::size_t sockets) noexcept
{
    return {(range.last - range.first) / 4, sockets / 4};
}

} // namespace mediaproxy::relay
