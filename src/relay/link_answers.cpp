// SPDX-License-Identifier: GPL-2.0-or-later
// What a dispatcher asks over its link, and what it is answered.
#include <asio/post.hpp>
#include <charconv>

#include "base/log.hpp"
#include "base/text.hpp"
#include "protocol/hello.hpp"
#include "relay/dispatcher_link.hpp"

namespace mediaproxy::relay
{

namespace
{

/// Reports formatted in one turn of the loop.
constexpr std::size_t reports_a_turn = 100;
constexpr std::size_t most_a_page = 500;
constexpr std::size_t default_page = 100;
/// A dispatcher that does not take what it asked for gets no more lists.
constexpr std::size_t longest_backlog = 16U << 20;
constexpr unsigned most_refusals_logged = 20;
constexpr Seconds refusals_interval{60};

void append_number(std::string& out, std::uint64_t number)
{
    char digits[20];
    out.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
}

} // namespace

/// An answer to `sessions` in the making.
struct DispatcherLink::Listing {
    enum class Form { array, page };
    std::uint64_t seq = 0;
    std::uint64_t connection = 0;
    Form form = Form::array;
    std::uint64_t next = 0;
    std::size_t most = 0; ///< of a page
    std::size_t count = 0;
    std::size_t left_out = 0;
    std::string text;
};

void DispatcherLink::handle(const protocol::Request& request)
{
    // What a dispatcher says to everybody, also to a relay whose name another has.
    was_good_ |= request.command != "sessions" && request.command != protocol::hello_word;
    if (request.command == "pong") {
        unanswered_pings_ = 0;
        return;
    }
    struct Row {
        std::string_view command;
        void (DispatcherLink::*answer)(const protocol::Request&);
    };
    static constexpr Row rows[] = {
        {"update", &DispatcherLink::answer_update},
        {"remove", &DispatcherLink::answer_remove},
        {"summary", &DispatcherLink::answer_summary},
        {"sessions", &DispatcherLink::answer_sessions},
        {protocol::hello_word, &DispatcherLink::answer_hello},
        {protocol::acknowledge_word, &DispatcherLink::answer_acknowledge},
        {protocol::letters_word, &DispatcherLink::answer_letters},
    };
    if (peer_ == Peer::unknown && request.command != protocol::hello_word)
        wait_for_hello();
    for (const Row& row : rows) {
        if (row.command == request.command) {
            (this->*row.answer)(request);
            return;
        }
    }
    log_refusal("request", {}, invalid("unknown command " + text::printable(request.command, 40)));
    answer(*request.seq, protocol::answer_error);
}

void DispatcherLink::answer(std::uint64_t seq, std::string_view text)
{
    append_number(out_, seq);
    out_.append(" ").append(text).append(protocol::line_end);
}

void DispatcherLink::answer_update(const protocol::Request& request)
{
    auto update = protocol::parse_update(request);
    auto ports = update ? relay_.update(*update, owner_)
                        : Result<protocol::Ports>(std::move(update).error());
    if (ports) {
        append_number(out_, *request.seq);
        out_ += ' ';
        protocol::format_ports(out_, *ports);
        out_ += protocol::line_end;
        return;
    }
    if (ports.error().code == Error::Code::unavailable) {
        answer(*request.seq, protocol::answer_halting);
        return;
    }
    log_refusal("update", request.find("call_id"), ports.error());
    answer(*request.seq, protocol::answer_error);
}

void DispatcherLink::answer_remove(const protocol::Request& request)
{
    auto remove = protocol::parse_remove(request);
    auto removed =
        remove ? relay_.remove(*remove) : Result<RelayRequests::Removed>(std::move(remove).error());
    if (!removed) {
        log_refusal("remove", request.find("call_id"), removed.error());
        answer(*request.seq, protocol::answer_error);
        return;
    }
    append_number(out_, *request.seq);
    out_ += ' ';
    const std::size_t begin = out_.size();
    protocol::append_json(out_, removed->report);
    if (removed->ended && removed->report.start_time)
        keep_removed(removed->report, std::string_view(out_).substr(begin));
    out_ += protocol::line_end;
}

/// The answer does not wait for the disk. Until the dispatcher says that its record is durable, the
/// report is in the dispatcher's memory and in ours, and what the store has of the running call
/// stays there; some milliseconds later the store has the report itself. So no single kill -9, and
/// no cut link, loses it. To whom acknowledges nothing the answer is all that there is.
void DispatcherLink::keep_removed(const protocol::SessionReport& report, std::string_view json)
{
    if (!acknowledges_removed_)
        return owners_.forget_call(report.record_id);
    std::string letter(json);
    letter.back() = ',';
    letter += " \"timed_out\": false}";
    owners_.put(owner_, report.record_id, std::move(letter), Letter::Way::answered);
    relay_.on_letters();
}

void DispatcherLink::answer_summary(const protocol::Request& request)
{
    answer(*request.seq, protocol::to_json(relay_.summary()));
}

void DispatcherLink::answer_hello(const protocol::Request& request)
{
    const std::string_view name = request.find("name");
    if (name.empty()) {
        answer(*request.seq, protocol::answer_error);
        return;
    }
    peer_ = Peer::ours;
    owner_ = owners_.id_of(name);
    owners_.revoke(owner_);
    owners_.bequeath(address_owner_, owner_);
    owners_.take_back(owner_);
    owners_.forget_sent(owner_);
    acknowledges_removed_ =
        protocol::names_feature(request.find("features"), protocol::feature_keep);
    log::info("dispatcher {}: it is {}, version {}", name_, text::printable(name, 100),
              text::printable(request.find("version"), 40));
    hello_timer_.cancel();
    answer(*request.seq, relay_.hello());
    // It asks again, by pages.
    for (const std::uint64_t seq : std::exchange(early_lists_, {}))
        answer(seq, "[]");
    send_letters();
}

void DispatcherLink::answer_acknowledge(const protocol::Request& request)
{
    for (const std::string_view record_id : text::split(request.find("record_id"), ' '))
        owners_.acknowledge(owner_, record_id);
    answer(*request.seq, "acknowledged");
    send_letters();
}

void DispatcherLink::answer_letters(const protocol::Request& request)
{
    answer(*request.seq, std::to_string(owners_.unsent_count(owner_)));
}

void DispatcherLink::answer_sessions(const protocol::Request& request)
{
    if (link_->backlog() > longest_backlog) {
        answer(*request.seq, protocol::answer_error);
        return;
    }
    const auto most = text::parse_number<std::uint64_t>(request.find("most"));
    if (!most && peer_ == Peer::unknown) {
        early_lists_.push_back(*request.seq);
        return;
    }
    if (!most) {
        list_sessions(*request.seq);
        return;
    }
    auto page = std::make_shared<Listing>();
    page->form = Listing::Form::page;
    page->seq = *request.seq;
    page->most = *most == 0 ? default_page : std::min<std::size_t>(*most, most_a_page);
    page->next = text::parse_number<std::uint64_t>(request.find("after")).value_or(0);
    begin_list(page);
}

void DispatcherLink::list_sessions(std::uint64_t seq)
{
    auto all = std::make_shared<Listing>();
    all->seq = seq;
    begin_list(all);
}

void DispatcherLink::begin_list(const std::shared_ptr<Listing>& listing)
{
    listing->connection = connection_;
    append_number(listing->text, listing->seq);
    listing->text += listing->form == Listing::Form::page ? " {\"sessions\": [" : " [";
    if (listing->next != 0) {
        list_more(listing);
        return;
    }
    relay_.refresh([this, alive = alive_, listing] {
        if (*alive)
            list_more(listing);
    });
}

/// A long list is written in pieces, so that an update in between does not wait for it.
void DispatcherLink::list_more(const std::shared_ptr<Listing>& listing)
{
    if (!is_open() || listing->connection != connection_)
        return;
    const bool is_page = listing->form == Listing::Form::page;
    std::string& text = listing->text;
    const auto append = [&](session::OwnerId owner, const protocol::SessionReport& report) {
        const std::size_t before = text.size();
        if (listing->count > 0)
            text += ", ";
        protocol::append_json(text, report);
        if (peer_ == Peer::ours) {
            text.back() = ',';
            text += " \"owner\": ";
            protocol::append_json_string(text, owners_.name(owner));
            text += '}';
        }
        if (!is_page && text.size() + 3 > settings_.longest_answer) {
            text.resize(before);
            ++listing->left_out;
        } else {
            ++listing->count;
        }
    };
    listing->next = relay_.list(listing->next, is_page ? listing->most : reports_a_turn, append);
    if (listing->next != 0 && !is_page) {
        asio::post(io_, [this, alive = alive_, listing] {
            if (*alive)
                list_more(listing);
        });
        return;
    }
    if (listing->left_out > 0)
        log::warning("dispatcher {}: its list of sessions lacks {}: it takes lines of {} bytes",
                     name_, listing->left_out, settings_.longest_answer);
    text += ']';
    if (is_page) {
        text += ", \"next\": ";
        append_number(text, listing->next);
        text += '}';
    }
    text += protocol::line_end;
    link_->write(text);
}

/// A few a minute: a relay without ports refuses thousands.
void DispatcherLink::log_refusal(std::string_view command, std::string_view call_id,
                                 const Error& error)
{
    const TimePoint now = BootClock::now();
    if (now - refusals_since_ > refusals_interval) {
        if (refusals_ > most_refusals_logged)
            log::warning("dispatcher {}: {} more requests were refused", name_,
                         refusals_ - most_refusals_logged);
        refusals_since_ = now;
        refusals_ = 0;
    }
    if (++refusals_ > most_refusals_logged)
        return;
    const auto level =
        error.code == Error::Code::not_found ? log::Level::info : log::Level::warning;
    if (log::enabled(level))
        log::write(level, fmt::format("dispatcher {}: {} {} refused: {}", name_, command,
                                      text::printable(call_id, 120), error.message));
}

} // namespace mediaproxy::relay
