// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/update_desk.hpp"

#include <algorithm>

#include "base/log.hpp"
#include "base/text.hpp"
#include "protocol/reply.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

/// The one family of an SDP's addresses; an error when there are two: the proxy's module rewrites
/// one of them only. Disabled streams count when there are no others.
Result<net::Family> family_of(const protocol::Update& update)
{
    net::Family enabled = net::Family::none, any = net::Family::none;
    for (const protocol::MediaLine& line : update.media) {
        const net::Family family = line.address.address.family();
        any = family;
        if (line.disabled())
            continue;
        if (enabled != net::Family::none && enabled != family)
            return invalid("IPv4 and IPv6 in one SDP");
        enabled = family;
    }
    return enabled == net::Family::none ? any : enabled;
}

constexpr std::size_t most_waiting = 16; // requests that wait for the making of one session

} // namespace

struct UpdateDesk::Call {
    struct Waiter {
        OwnedRequest request;
        Ticket ticket;
    };
    std::uint32_t place = 0;
    std::uint32_t generation = 0;
    bool open = false;
    Kind kind = Kind::known;
    Ticket ticket;
    std::uint64_t session_id = 0; ///< of a known one
    std::string session_tag;      ///< the session's from_tag, of a hinted one
    net::Family family = net::Family::none;
    std::vector<RelayId> candidates;
    std::size_t next = 0;     ///< candidate to be asked next; the current one is before it
    unsigned outstanding = 0; ///< relays that have not answered
    bool asking = false;      ///< inside ask()
    bool failed = false;      ///< the current attempt
    bool concluded = false;   ///< the proxy has its answer
    bool cancelled = false;
    const protocol::Request* request = nullptr; ///< during the handler's call only
    const protocol::Update* update = nullptr;   ///< during the handler's call only
    OwnedRequest kept;
    std::optional<protocol::Update> kept_update;
    std::vector<std::unique_ptr<Waiter>> waiting;
    /// Relays that made this session too late for the request before, of which this is the
    /// retransmission: it may be asked of them again.
    std::vector<RelayId> unclaimed;
};

UpdateDesk::UpdateDesk(asio::io_context& io, Books& books, ProxyServer& server,
                       RemovalDesk& removals, Milliseconds attempt_timeout)
    : books_(books), server_(server), removals_(removals),
      attempts_(io, attempt_timeout, [this](const std::uint64_t& token) { on_attempt_due(token); })
{
}

UpdateDesk::~UpdateDesk() = default;

void UpdateDesk::handle(const protocol::Request& request, Ticket ticket)
{
    const auto update = protocol::parse_update(request);
    if (update)
        return handle(request, *update, ticket);
    log::info("control socket: {}", update.error().message);
    refuse_unreadable(request, ticket);
}

/// The client leaves this SDP as it is; the reply's must be left, too.
void UpdateDesk::refuse_unreadable(const protocol::Request& request, Ticket ticket)
{
    const auto cseq = text::parse_number<std::uint32_t>(request.find("cseq"));
    if (cseq && request.find("type") == "request")
        books_.refusals.on_refused(request.find("call_id"), request.find("from_tag"), *cseq,
                                   read_clocks().mono);
    server_.answer(ticket, protocol::answer_error);
}

void UpdateDesk::handle(const protocol::Request& request, const protocol::Update& update,
                        Ticket ticket)
{
    const auto family = family_of(update);
    if (!family)
        return refuse_unreadable(request, ticket);
    if (!in_the_making_.empty()) {
        const auto found = in_the_making_.find(update.call_id);
        if (found != in_the_making_.end()) {
            if (found->second->waiting.size() == most_waiting)
                return refuse_unreadable(request, ticket);
            auto waiter = std::make_unique<Call::Waiter>();
            waiter->request.assign(request);
            waiter->ticket = ticket;
            found->second->waiting.push_back(std::move(waiter));
            return;
        }
    }
    Call& call = open_call();
    call.ticket = ticket;
    call.family = *family;
    call.request = &request;
    call.update = &update;
    if (find_relays(call, request, update))
        ask(call);
    else
        fail(call);
}

bool UpdateDesk::find_relays(Call& call, const protocol::Request& request,
                             const protocol::Update& update)
{
    const bool reply = update.type == protocol::MessageType::reply;
    const TimePoint now = BootClock::now();
    if (reply && books_.refusals.answers_refused(update, now))
        return false;
    const Session* const session =
        books_.directory.find(update.call_id, update.from_tag, update.to_tag);
    if (session && session->state == Session::State::active) {
        call.kind = Kind::known;
        call.session_id = session->id;
        call.candidates.push_back(session->relay);
        return true;
    }
    if (reply && books_.refusals.answers_removed(update, now))
        return false;
    const Hints::Hint* const hint =
        books_.hints.find(update.call_id, update.from_tag, update.to_tag);
    if (hint && books_.pool.peer(hint->relay)) {
        call.kind = Kind::hinted;
        call.session_tag = hint->from_tag;
        call.candidates.push_back(hint->relay);
        return true;
    }
    if (!update.has_media)
        return false;
    call.kind = Kind::fresh;
    if (const auto relay = books_.directory.relay_of(update.call_id))
        call.candidates.push_back(*relay);
    else
        books_.pool.choose(request.find("media_relay"), call.family, call.candidates);
    return true;
}

UpdateDesk::Call& UpdateDesk::open_call()
{
    if (free_calls_.empty()) {
        free_calls_.push_back(static_cast<std::uint32_t>(calls_.size()));
        calls_.emplace_back();
        calls_.back().place = free_calls_.back();
    }
    Call& call = calls_[free_calls_.back()];
    free_calls_.pop_back();
    ++call.generation;
    call.open = true;
    call.session_tag.clear();
    call.candidates.clear();
    call.unclaimed.clear();
    call.next = 0;
    call.outstanding = 0;
    call.asking = call.failed = call.concluded = call.cancelled = false;
    return call;
}

// place: 20 bits, attempt: 12 bits, generation: 32 bits.
std::uint64_t UpdateDesk::token_of(const Call& call) const noexcept
{
    return std::uint64_t{call.generation} << 32 | (call.next & 0xfff) << 20 | call.place;
}

UpdateDesk::Call* UpdateDesk::call_of(std::uint64_t token)
{
    const std::size_t place = token & 0xfffff;
    if (place >= calls_.size() || !calls_[place].open || calls_[place].generation != token >> 32)
        return nullptr;
    return &calls_[place];
}

const protocol::Update& UpdateDesk::update_of(Call& call)
{
    if (call.update)
        return *call.update;
    if (!call.kept_update)
        call.kept_update = *protocol::parse_update(call.kept.request());
    return *call.kept_update;
}

void UpdateDesk::ask(Call& call)
{
    bool asked = false;
    call.asking = true;
    call.failed = false;
    while (!call.concluded && call.next < call.candidates.size()) {
        RelayPeer* const peer = books_.pool.peer(call.candidates[call.next++]);
        if (!peer || (call.family != net::Family::none && !peer->serves(call.family)))
            continue;
        asked = true;
        call.failed = false;
        ++call.outstanding;
        const protocol::Update& update = update_of(call);
        peer->update(call.request ? *call.request : call.kept.request(), update,
                     [this, token = token_of(call)](Result<protocol::Ports> result) {
                         on_answer(token, std::move(result));
                     });
        if (!call.failed)
            break;
    }
    call.asking = false;
    if (call.concluded)
        return conclude(call);
    if (!asked || call.failed)
        return fail(call);
    go_on_later(call);
}

/// The relay takes its time: keeps what the caller's buffer will lose.
void UpdateDesk::go_on_later(Call& call)
{
    if (call.request) {
        call.kept.assign(*call.request);
        call.kept_update.reset();
        call.request = nullptr;
        call.update = nullptr;
        if (call.kind != Kind::known)
            in_the_making_.try_emplace(call.kept.request().find("call_id"), &call);
        server_.remember(call.ticket, token_of(call));
    }
    if (call.next < call.candidates.size())
        attempts_.add(token_of(call));
}

void UpdateDesk::on_answer(std::uint64_t token, Result<protocol::Ports> result)
{
    Call* const call = call_of(token);
    if (!call)
        return;
    --call->outstanding;
    const std::size_t attempt = token >> 20 & 0xfff;
    const RelayId relay = call->candidates[attempt - 1];
    if (call->concluded || attempt != (call->next & 0xfff)) {
        on_late_answer(*call, relay, result);
        return release(*call);
    }
    if (result && acceptable(*call, *result))
        return succeed(*call, relay, *result);
    if (!result)
        log::info("relay {}: update of {} failed: {}", books_.pool.name(relay),
                  text::printable(update_of(*call).call_id, 80), result.error().message);
    else if (call->kind == Kind::fresh)
        on_late_answer(*call, relay, result);
    call->failed = true;
    if (!call->asking)
        ask(*call);
}

/// Fills in missing ports; false when the address is of no use to the proxy.
bool UpdateDesk::acceptable(Call& call, protocol::Ports& ports)
{
    const protocol::Update& update = update_of(call);
    if (!update.has_media)
        return true;
    while (ports.rtp.size() < update.media.size())
        ports.rtp.push_back(0);
    return ports.address.family() == call.family;
}

void UpdateDesk::succeed(Call& call, RelayId relay, const protocol::Ports& ports)
{
    call.concluded = true;
    Session* const session = record_success(call, relay);
    line_.clear();
    protocol::format_ports(line_, ports);
    server_.answer(call.ticket, line_);
    if (call.cancelled && session)
        removals_.remove_at_once(*session);
    if (!call.asking)
        conclude(call);
}

Session* UpdateDesk::record_success(Call& call, RelayId relay)
{
    const protocol::Update& update = update_of(call);
    const Now now = read_clocks();
    if (update.type == protocol::MessageType::request)
        books_.refusals.on_accepted(update.call_id, update.from_tag, update.cseq, now.mono);
    if (call.kind == Kind::known) {
        Session* const session =
            books_.directory.find(update.call_id, update.from_tag, update.to_tag);
        if (!session || session->id != call.session_id)
            return nullptr;
        if (apply_update(*session, update, now))
            books_.saved.on_changed(*session);
        return session;
    }
    if (call.kind == Kind::fresh)
        return &books_.add(make_session(update, relay, now));
    protocol::SessionReport report;
    report.call_id = update.call_id;
    report.from_tag = call.session_tag;
    const bool same = update.from_tag == call.session_tag;
    report.from_uri = same ? update.from_uri : update.to_uri;
    report.to_uri = same ? update.to_uri : update.from_uri;
    books_.hints.erase(update.call_id, call.session_tag);
    Session& session = books_.add(make_session(report, relay, now));
    apply_update(session, update, now);
    return &session;
}

void UpdateDesk::fail(Call& call)
{
    call.concluded = true;
    const protocol::Update& update = update_of(call);
    // Without media no SDP was left as it is: the offer in the reply to an INVITE without SDP goes
    // on.
    if (update.type == protocol::MessageType::request && update.has_media)
        books_.refusals.on_refused(update.call_id, update.from_tag, update.cseq, BootClock::now());
    server_.answer(call.ticket, protocol::answer_error);
    conclude(call);
}

/// Lets those go on who waited for this session.
void UpdateDesk::conclude(Call& call)
{
    for (const RelayId relay : std::exchange(call.unclaimed, {}))
        discard_unused(call, relay);
    call.request = nullptr;
    call.update = nullptr;
    if (!in_the_making_.empty()) {
        const auto made = in_the_making_.find(call.kept.request().find("call_id"));
        if (made != in_the_making_.end() && made->second == &call)
            in_the_making_.erase(made);
    }
    const auto waiting = std::exchange(call.waiting, {});
    release(call);
    for (const auto& waiter : waiting) {
        if (server_.is_open(waiter->ticket))
            handle(waiter->request.request(), waiter->ticket);
    }
}

/// A call stays until all relays that were asked have answered.
void UpdateDesk::release(Call& call)
{
    if (!call.open || !call.concluded || call.asking || call.outstanding > 0)
        return;
    call.open = false;
    free_calls_.push_back(call.place);
}

void UpdateDesk::on_late_answer(Call& call, RelayId relay, const Result<protocol::Ports>& result)
{
    if (!result || call.kind != Kind::fresh)
        return;
    const auto made = in_the_making_.find(update_of(call).call_id);
    if (made != in_the_making_.end() && made->second != &call)
        made->second->unclaimed.push_back(relay);
    else
        discard_unused(call, relay);
}

void UpdateDesk::discard_unused(Call& call, RelayId relay)
{
    const protocol::Update& update = update_of(call);
    const Session* const session = books_.directory.find_exact(update.call_id, update.from_tag);
    if (session && session->relay == relay && session->state == Session::State::active)
        return;
    log::info("relay {}: late answer for {}: removed there", books_.pool.name(relay),
              text::printable(update.call_id, 80));
    removals_.discard(relay, {update.call_id, update.from_tag, update.to_tag});
}

void UpdateDesk::on_attempt_due(std::uint64_t token)
{
    Call* const call = call_of(token);
    if (call && !call->concluded && (call->next & 0xfff) == (token >> 20 & 0xfff))
        ask(*call);
}

void UpdateDesk::on_late(std::uint64_t matter)
{
    Call* const call = call_of(matter);
    if (!call || call->concluded)
        return;
    log::info("control socket: no relay answered an update of {} in time",
              text::printable(update_of(*call).call_id, 80));
    fail(*call);
}

bool UpdateDesk::cancel(const protocol::Remove& remove)
{
    const auto found = in_the_making_.find(remove.call_id);
    if (found == in_the_making_.end() || found->second->kind == Kind::known)
        return false;
    const protocol::Update& update = update_of(*found->second);
    const bool fits = remove.from_tag == update.from_tag || remove.to_tag == update.from_tag;
    if (fits)
        found->second->cancelled = true;
    return fits;
}

} // namespace mediaproxy::dispatcher
