// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/relay_link.hpp"

#include <algorithm>
#include <asio/post.hpp>
#include <fmt/format.h>

#include "base/log.hpp"
#include "base/text.hpp"
#include "dispatcher/json_text.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

constexpr std::size_t longest_line = 4U << 20;
constexpr std::size_t most_backlog = 8U << 20; // bytes that the relay does not take
constexpr std::size_t page_size = 250;

// What a 4.x relay needs in every update.
constexpr std::string_view unknown_agent = "unknown agent";

Error unavailable(std::string message)
{
    return Error{Error::Code::unavailable, std::move(message)};
}

Error too_long()
{
    return Error{Error::Code::unsupported, "it is longer than 4 MiB"};
}

} // namespace

RelayLink::RelayLink(asio::io_context& io, asio::ip::tcp::socket socket,
                     std::shared_ptr<tls::Context> context, const Settings& settings, Owner& owner)
    : io_(io), settings_(settings), owner_(owner), reader_(longest_line),
      due_(io, settings.relay_timeout, [this](const std::uint64_t& seq) { on_due(seq); }),
      recover_(io, settings.relay_recover_interval,
               [this](const std::uint64_t& seq) { on_overdue(seq); })
{
    link_ = tls::Link::start(std::move(socket), tls::Link::Side::server, std::move(context),
                             settings.passport, *this);
}

RelayLink::~RelayLink()
{
    close();
}

void RelayLink::close()
{
    if (std::exchange(closed_, true))
        return;
    link_->close();
}

std::string RelayLink::label() const
{
    return known() ? name_ : link_->remote().to_string();
}

bool RelayLink::is_called(std::string_view media_relay) const noexcept
{
    if (media_relay == name_)
        return true;
    const auto wanted = net::Address::parse(media_relay);
    if (!wanted)
        return false;
    return *wanted == address() ||
           (hello_ && std::find(hello_->addresses.begin(), hello_->addresses.end(), *wanted) !=
                          hello_->addresses.end());
}

bool RelayLink::serves(net::Family family) const noexcept
{
    if (!hello_ || hello_->families.empty())
        return family == net::Family::v4;
    return std::find(hello_->families.begin(), hello_->families.end(), family) !=
           hello_->families.end();
}

bool RelayLink::is_silent() const noexcept
{
    return state_ == State::unresponsive ||
           BootClock::now() - heard_ > settings_.relay_recover_interval;
}

// --- the connection

void RelayLink::on_open()
{
    log::info("relay {}: connected over {}", link_->remote().to_string(), link_->protocol());
    first_question_ = BootClock::now();
    request_.headers.clear();
    send("sessions", FirstList{});
}

void RelayLink::on_bytes(std::string_view bytes)
{
    heard_ = BootClock::now();
    reader_.feed(bytes);
    std::string_view line;
    while (!closed_) {
        const auto outcome = reader_.next(line);
        if (outcome == protocol::LineReader::Outcome::need_more)
            return;
        if (outcome == protocol::LineReader::Outcome::too_long)
            on_too_long(line);
        else
            on_line(line);
    }
}

void RelayLink::on_close(const Error& why)
{
    closed_ = true;
    owner_.on_relay_gone(*this, why);
}

void RelayLink::fail_all(const Error& why)
{
    auto overdue = std::exchange(overdue_, {});
    auto waiting = std::exchange(waiting_, {});
    first_seq_ += waiting.size();
    for (auto& [seq, handler] : overdue)
        fail(handler, why);
    for (Handler& handler : waiting)
        fail(handler, why);
}

void RelayLink::become_known(std::string name)
{
    name_ = std::move(name);
    owner_.on_relay_known(*this);
}

void RelayLink::on_line(std::string_view line)
{
    using Kind = protocol::RelayLine::Kind;
    const protocol::RelayLine parsed = protocol::parse_relay_line(line);
    const bool hello = parsed.kind == Kind::unknown && line.starts_with(protocol::hello_word) &&
                       line.substr(protocol::hello_word.size()).starts_with(' ');
    if (hello && !known())
        return on_hello(line.substr(protocol::hello_word.size() + 1));
    if (parsed.kind == Kind::unknown) {
        if (!line.empty() && !std::exchange(told_garbage_, true))
            log::warning("relay {}: a line that means nothing: {}", label(),
                         text::printable(line, 60));
        return;
    }
    if (!known())
        become_known(address().to_string());
    if (closed_)
        return;
    switch (parsed.kind) {
    case Kind::ping:
        link_->write("pong\r\n");
        if (state_ == State::unresponsive) {
            log::info("relay {}: answers again", label());
            state_ = State::active;
        }
        break;
    case Kind::expired:
        on_expired(parsed.text);
        break;
    case Kind::answer:
        on_answer(parsed.seq, parsed.text);
        break;
    case Kind::unknown:
        break;
    }
}

void RelayLink::on_hello(std::string_view json)
{
    auto hello = protocol::parse_hello(json);
    if (!hello) {
        log::warning("relay {}: {}; treated as MediaProxy 4", label(), hello.error().message);
        return become_known(address().to_string());
    }
    hello_ = std::move(*hello);
    const auto& theirs = hello_->features;
    keeps_records_ =
        std::find(theirs.begin(), theirs.end(), protocol::feature_keep) != theirs.end();
    say_hello();
    log::info("relay {} at {}: version {}", text::printable(hello_->name, 80),
              address().to_string(), text::printable(hello_->version, 40));
    become_known(hello_->name);
}

void RelayLink::say_hello()
{
    const std::string features =
        fmt::format("{},{},{},{}", protocol::feature_pages, protocol::feature_acknowledge,
                    protocol::feature_owners, protocol::feature_keep);
    request_.headers = {{"name", settings_.dispatcher_name},
                        {"version", settings_.version},
                        {"features", features}};
    send(protocol::hello_word, Nothing{});
}

/// Whoever hears `hello` sends what he has.
void RelayLink::tell_again()
{
    if (is_ours())
        say_hello();
}

void RelayLink::on_expired(std::string_view json)
{
    auto report = protocol::parse_report(json);
    if (report)
        return owner_.on_relay_expired(*this, std::move(*report));
    log::warning("relay {}: `expired` that cannot be read: {}", label(), report.error().message);
}

// --- requests and answers

void RelayLink::send(std::string_view command, Handler handler)
{
    if (closed_ || link_->backlog() > most_backlog) {
        // Not in the caller's call: who is asked may be asked again at once.
        auto failed = std::make_shared<Handler>(std::move(handler));
        asio::post(io_, [this, failed, alive = std::weak_ptr<bool>(alive_)] {
            if (!alive.expired())
                fail(*failed, unavailable("relay " + label() + " takes no requests"));
        });
        return;
    }
    const std::uint64_t seq = first_seq_ + waiting_.size();
    waiting_.push_back(std::move(handler));
    due_.add(seq);
    out_.clear();
    protocol::format_request(out_, command, seq, request_.headers);
    link_->write(out_);
}

RelayLink::Handler RelayLink::take(std::uint64_t seq)
{
    if (seq < first_seq_) {
        const auto found = overdue_.find(seq);
        if (found == overdue_.end())
            return {};
        Handler handler = std::move(found->second);
        overdue_.erase(found);
        return handler;
    }
    if (seq - first_seq_ >= waiting_.size())
        return {};
    Handler handler = std::exchange(waiting_[seq - first_seq_], std::monostate{});
    while (!waiting_.empty() && std::holds_alternative<std::monostate>(waiting_.front())) {
        waiting_.pop_front();
        ++first_seq_;
    }
    return handler;
}

void RelayLink::on_answer(std::uint64_t seq, std::string_view text)
{
    Handler handler = take(seq);
    if (std::holds_alternative<std::monostate>(handler)) {
        log::debug("relay {}: an answer to request {}, which waits for none", label(), seq);
        return;
    }
    deliver(handler, text);
}

/// The relay did answer: that we cannot take it makes it neither silent nor better next time.
void RelayLink::on_too_long(std::string_view beginning)
{
    log::warning("relay {}: a line of more than 4 MiB is passed over", label());
    const protocol::RelayLine parsed = protocol::parse_relay_line(beginning);
    if (parsed.kind != protocol::RelayLine::Kind::answer)
        return;
    if (!known())
        become_known(address().to_string());
    if (closed_)
        return;
    Handler handler = take(parsed.seq);
    if (std::holds_alternative<FirstList>(handler) || std::holds_alternative<PageHandler>(handler))
        list_too_long_ = true;
    fail(handler, too_long());
}

void RelayLink::deliver(Handler& handler, std::string_view text)
{
    const auto refused = [&] {
        return invalid(text == protocol::answer_error
                           ? "the relay answered error"
                           : "the relay's answer is unreadable: " + text::printable(text, 60));
    };
    if (std::holds_alternative<FirstList>(handler)) {
        on_first_list(std::string(text));
    } else if (auto* const ports = std::get_if<PortsHandler>(&handler)) {
        if (auto parsed = protocol::parse_ports(text))
            return (*ports)(std::move(*parsed));
        if (text != protocol::answer_halting)
            return (*ports)(refused());
        state_ = State::halting;
        (*ports)(Error{Error::Code::denied, "the relay is halting"});
    } else if (auto* const report = std::get_if<ReportHandler>(&handler)) {
        if (text == protocol::answer_error)
            return (*report)(refused());
        (*report)(protocol::parse_report(text));
    } else if (auto* const summary = std::get_if<TextHandler>(&handler)) {
        if (!json::is_object(text))
            return (*summary)(refused());
        (*summary)(std::string(text));
    } else if (auto* const page = std::get_if<PageHandler>(&handler)) {
        deliver_page(*page, text);
    } else if (auto* const acknowledged = std::get_if<AcknowledgedHandler>(&handler)) {
        (*acknowledged)(text != protocol::answer_error);
    } else if (auto* const count = std::get_if<CountHandler>(&handler)) {
        if (const auto number = text::parse_number<std::size_t>(text))
            return (*count)(*number);
        (*count)(refused());
    }
}

/// An array is a whole list; an object a page of one.
void RelayLink::deliver_page(PageHandler& handler, std::string_view text)
{
    if (json::is_array(text))
        return handler(Page{std::string(text), 0});
    const auto sessions = json::member(text, "sessions");
    const auto next = json::member(text, "next");
    const auto number = next ? text::parse_number<std::uint64_t>(*next) : std::nullopt;
    if (!sessions || !json::is_array(*sessions) || !number)
        return handler(
            invalid("the relay's list of sessions is unreadable: " + text::printable(text, 60)));
    handler(Page{std::string(*sessions), *number});
}

void RelayLink::fail(Handler& handler, const Error& why)
{
    if (std::holds_alternative<FirstList>(handler))
        on_first_list(why);
    else if (auto* const ports = std::get_if<PortsHandler>(&handler))
        (*ports)(why);
    else if (auto* const report = std::get_if<ReportHandler>(&handler))
        (*report)(why);
    else if (auto* const text = std::get_if<TextHandler>(&handler))
        (*text)(why);
    else if (auto* const page = std::get_if<PageHandler>(&handler))
        (*page)(why);
    else if (auto* const acknowledged = std::get_if<AcknowledgedHandler>(&handler))
        (*acknowledged)(false);
    else if (auto* const count = std::get_if<CountHandler>(&handler))
        (*count)(why);
}

/// relay_timeout after a request: a relay that has not answered is unresponsive until its next
/// ping. Who makes or ends a session goes on waiting: the answer may still come, and counts.
void RelayLink::on_due(std::uint64_t seq)
{
    Handler handler = take(seq);
    if (std::holds_alternative<std::monostate>(handler))
        return;
    if (state_ != State::unresponsive) {
        log::warning("relay {}: no answer within {} s", label(), settings_.relay_timeout.count());
        state_ = State::unresponsive;
        unresponsive_since_ = BootClock::now();
    }
    recover_.add(seq);
    if (std::holds_alternative<PortsHandler>(handler) ||
        std::holds_alternative<ReportHandler>(handler))
        overdue_.emplace(seq, std::move(handler));
    else
        fail(handler, unavailable("relay " + label() + " did not answer in time"));
}

void RelayLink::on_overdue(std::uint64_t seq)
{
    const auto silent = BootClock::now() - unresponsive_since_;
    if (state_ == State::unresponsive && silent >= settings_.relay_recover_interval && !closed_) {
        log::warning("relay {}: silent for too long: connection dropped", label());
        close();
        asio::post(io_, [this, alive = std::weak_ptr<bool>(alive_)] {
            if (!alive.expired())
                owner_.on_relay_gone(*this, unavailable("the relay was silent for too long"));
        });
        return;
    }
    Handler handler = take(seq);
    fail(handler, unavailable("relay " + label() + " did not answer"));
}

void RelayLink::update(const protocol::Request& request, const protocol::Update& update,
                       PortsHandler done)
{
    request_.headers.assign(request.headers.begin(), request.headers.end());
    std::string first_address;
    if (!is_ours() && update.user_agent.empty())
        request_.headers.push_back({"user_agent", unknown_agent});
    if (!is_ours() && !update.media.empty() && request.find("signaling_ip").empty()) {
        first_address = update.media[0].address.address.to_string();
        request_.headers.push_back({"signaling_ip", first_address});
    }
    send("update", std::move(done));
}

void RelayLink::remove(const protocol::Remove& remove, ReportHandler done)
{
    request_.headers.clear();
    for (const protocol::Header& header : {protocol::Header{"call_id", remove.call_id},
                                           protocol::Header{"from_tag", remove.from_tag},
                                           protocol::Header{"to_tag", remove.to_tag}}) {
        if (!header.value.empty())
            request_.headers.push_back(header);
    }
    send("remove", std::move(done));
}

void RelayLink::summary(TextHandler done)
{
    request_.headers.clear();
    send("summary", std::move(done));
}

void RelayLink::acknowledge(const std::vector<std::string>& record_ids, AcknowledgedHandler done)
{
    if (!is_ours())
        return done(false);
    const std::string all = keeps_records_ ? fmt::format("{}", fmt::join(record_ids, " ")) : "";
    for (const std::string& record_id : record_ids) {
        request_.headers = {{"record_id", keeps_records_ ? all : record_id}};
        if (keeps_records_ || &record_id == &record_ids.back())
            return send(protocol::acknowledge_word, std::move(done));
        send(protocol::acknowledge_word, Nothing{});
    }
}

void RelayLink::unsent_letters(CountHandler done)
{
    request_.headers.clear();
    send(protocol::letters_word, std::move(done));
}

// --- lists of sessions

/// The first answer of a 4.x relay serves who asks first; from a relay of ours it is not complete.
void RelayLink::on_first_list(Result<std::string> list)
{
    if (hello_)
        return;
    if (!first_asker_) {
        first_list_ = std::move(list);
        return;
    }
    PageHandler asker = std::exchange(first_asker_, nullptr);
    if (list)
        deliver_page(asker, *list);
    else
        asker(std::move(list).error());
}

void RelayLink::session_page(std::uint64_t after, std::size_t most, PageHandler done)
{
    if (list_too_long_)
        return done(too_long());
    request_.headers.clear();
    if (!is_ours())
        return send("sessions", std::move(done));
    const std::string after_text = std::to_string(after), most_text = std::to_string(most);
    request_.headers = {{"after", after_text}, {"most", most_text}};
    send("sessions", std::move(done));
}

void RelayLink::sessions(ReportsHandler done)
{
    if (is_ours())
        return collect(0, std::make_shared<std::vector<protocol::SessionReport>>(),
                       std::move(done));
    PageHandler whole = [done = std::move(done)](Result<Page> page) {
        if (page)
            done(protocol::parse_reports(page->sessions));
        else
            done(std::move(page).error());
    };
    if (std::exchange(first_taken_, true))
        return session_page(0, 0, std::move(whole));
    first_asker_ = std::move(whole);
    if (first_list_)
        on_first_list(*std::exchange(first_list_, std::nullopt));
}

void RelayLink::collect(std::uint64_t after,
                        std::shared_ptr<std::vector<protocol::SessionReport>> all,
                        ReportsHandler done)
{
    session_page(after, page_size, [this, after, all, done = std::move(done)](Result<Page> page) {
        if (!page)
            return done(std::move(page).error());
        auto reports = protocol::parse_reports(page->sessions);
        if (!reports)
            return done(std::move(reports).error());
        std::move(reports->begin(), reports->end(), std::back_inserter(*all));
        if (page->next == 0)
            return done(std::move(*all));
        if (page->next <= after)
            return done(invalid("the relay's list of sessions turns in a circle"));
        collect(page->next, all, done);
    });
}

} // namespace mediaproxy::dispatcher
