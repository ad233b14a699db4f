// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/management_connection.hpp"

#include <asio/post.hpp>

#include "base/log.hpp"
#include "dispatcher/accounting_json.hpp"
#include "dispatcher/json_text.hpp"
#include "protocol/reply.hpp"
#include "protocol/session_report.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

constexpr std::size_t longest_command = 1024;
constexpr std::size_t page_size = 64;        // some 60 kB, which stay in the processor's cache
constexpr std::size_t high_water = 1U << 20; // bytes that the client has not taken
constexpr std::size_t most_unread = 65536;   // bytes of commands that wait for their turn
constexpr std::chrono::milliseconds look_again{2};
constexpr std::chrono::seconds client_patience{30};

} // namespace

ManagementConnection::ManagementConnection(asio::io_context& io, const RelayPool& pool,
                                           const Settings& settings,
                                           std::function<void(ManagementConnection&)> gone)
    : io_(io), pool_(pool), settings_(settings), gone_(std::move(gone)), reader_(longest_command),
      patience_(io)
{
}

void ManagementConnection::close()
{
    if (std::exchange(closed_, true))
        return;
    patience_.cancel();
    if (link_)
        link_->close();
    if (stream_)
        stream_->close();
    gone_(*this);
}

void ManagementConnection::on_close(const Error& why)
{
    log::debug("management interface: {}", why.message);
    const auto self = shared_from_this();
    close();
}

void ManagementConnection::on_bytes(std::string_view bytes)
{
    const auto self = shared_from_this();
    reader_.feed(bytes);
    next_command();
    if (closed_ || reader_.unread() <= most_unread)
        return;
    log::warning("management interface: a client sends commands faster than it takes answers: "
                 "closed");
    close();
}

/// Unless the last answers are still to be taken.
void ManagementConnection::next_command()
{
    if (std::exchange(running_, true))
        return;
    std::string_view line;
    while (!closed_ && !busy_ && !waiting_) {
        if (backlog() > high_water) {
            wait_for_client();
            break;
        }
        const auto outcome = reader_.next(line);
        if (outcome == protocol::LineReader::Outcome::need_more)
            break;
        run(outcome == protocol::LineReader::Outcome::line ? line : std::string_view());
    }
    running_ = false;
}

void ManagementConnection::run(std::string_view command)
{
    if (command == "quit" || command == "exit")
        return close();
    if (command == "summary")
        return begin_summary();
    if (command == "sessions")
        return begin_sessions();
    if (command == "accounting")
        return answer_accounting();
    std::string answer(command == "version" ? std::string_view(settings_.version)
                                            : protocol::answer_error);
    answer += protocol::line_end;
    if (settings_.framing == Framing::lines)
        answer += protocol::line_end;
    write(answer);
}

void ManagementConnection::begin_answer()
{
    busy_ = true;
    ++answer_;
    first_element_ = true;
    if (settings_.framing == Framing::array)
        write("[");
}

void ManagementConnection::write_element(std::string_view element)
{
    const bool first = std::exchange(first_element_, false);
    if (settings_.framing == Framing::array && !first)
        write(", ");
    write(element);
    if (settings_.framing == Framing::lines)
        write(protocol::line_end);
}

void ManagementConnection::end_answer()
{
    if (settings_.framing == Framing::array)
        write("]");
    write(protocol::line_end);
    busy_ = false;
    next_command();
}

// --- summary

void ManagementConnection::begin_summary()
{
    begin_answer();
    const std::vector<RelayPeer*> peers = pool_.connected();
    summaries_.assign(peers.size(), std::string());
    summaries_open_ = peers.size() + 1;
    for (std::size_t place = 0; place < peers.size(); ++place) {
        summaries_[place] = "{\"status\": \"error\", \"ip\": ";
        protocol::append_json_string(summaries_[place], peers[place]->address().to_string());
        summaries_[place] += '}';
        peers[place]->summary(
            [weak = weak_from_this(), answer = answer_, place](Result<std::string> text) {
                if (const auto self = weak.lock())
                    self->on_summary(answer, place, std::move(text));
            });
    }
    on_summary(answer_, peers.size(), std::string());
}

void ManagementConnection::on_summary(std::uint64_t answer, std::size_t place,
                                      Result<std::string> text)
{
    if (closed_ || answer != answer_ || !busy_)
        return;
    if (text && place < summaries_.size())
        summaries_[place] = std::move(*text);
    if (--summaries_open_ > 0)
        return;
    // How full the spool is stands in each: pages that know summaries know no other object.
    const accounting::Figures figures =
        settings_.records ? settings_.records->figures() : accounting::Figures{};
    for (std::string& summary : summaries_) {
        if (!figures.back_ends.empty())
            json::add_member(summary, "accounting", to_json(figures));
        write_element(summary);
    }
    end_answer();
}

void ManagementConnection::answer_accounting()
{
    begin_answer();
    const accounting::Figures figures =
        settings_.records ? settings_.records->figures() : accounting::Figures{};
    write_element(spool_to_json(figures));
    for (const accounting::BackEndFigures& back_end : figures.back_ends)
        write_element(to_json(back_end));
    end_answer();
}

// --- sessions

void ManagementConnection::begin_sessions()
{
    begin_answer();
    lists_.clear();
    lists_begin_ = 0;
    for (const RelayPeer* const peer : pool_.connected()) {
        if (const auto relay = pool_.find(peer->name()))
            lists_.push_back({*relay, std::nullopt});
    }
    waiting_ = true; // nothing is written before all were asked
    for (std::size_t place = 0; place < lists_.size(); ++place)
        ask_page(place, 0);
    waiting_ = false;
    write_lists();
}

void ManagementConnection::ask_page(std::size_t place, std::uint64_t after)
{
    RelayPeer* const peer = pool_.peer(lists_[place].relay);
    if (!peer) {
        lists_[place].page = Error{Error::Code::unavailable, "the relay is gone"};
        return;
    }
    peer->session_page(
        after, page_size,
        [weak = weak_from_this(), answer = answer_, place, after](Result<RelayPeer::Page> page) {
            const auto self = weak.lock();
            if (!self || self->closed_ || answer != self->answer_)
                return;
            if (page && page->next != 0 && page->next <= after)
                page = invalid("a list that turns in a circle");
            self->lists_[place].page = std::move(page);
            self->write_lists();
        });
}

/// Writes what has come, relay by relay, as far as the client takes it: a page in one turn of the
/// loop, so that a long list holds up no request.
void ManagementConnection::write_lists()
{
    if (waiting_ || !busy_)
        return;
    if (lists_begin_ == lists_.size())
        return end_answer();
    if (!lists_[lists_begin_].page)
        return;
    if (backlog() > high_water)
        return wait_for_client();
    const std::size_t place = lists_begin_;
    const auto page = *std::exchange(lists_[place].page, std::nullopt);
    waiting_ = true;
    if (page && page->next != 0)
        ask_page(place, page->next); // the relay works while we write
    else
        ++lists_begin_;
    if (page)
        write_page(*page);
    else
        log::warning("relay {}: its sessions cannot be listed: {}", pool_.name(lists_[place].relay),
                     page.error().message);
    asio::post(io_, [weak = weak_from_this()] {
        const auto self = weak.lock();
        if (!self || self->closed_)
            return;
        self->waiting_ = false;
        self->write_lists();
    });
}

void ManagementConnection::write_page(const RelayPeer::Page& page)
{
    std::string_view rest = page.sessions;
    rest.remove_prefix(std::min(rest.find('[') + 1, rest.size()));
    while (const auto element = json::next_element(rest))
        write_element(*element);
}

void ManagementConnection::wait_for_client()
{
    waiting_ = true;
    const auto now = std::chrono::steady_clock::now();
    if (waiting_since_ == std::chrono::steady_clock::time_point{})
        waiting_since_ = now;
    if (now - waiting_since_ > client_patience) {
        log::warning("management interface: a client takes no more of its answer: closed");
        return close();
    }
    patience_.expires_after(look_again);
    patience_.async_wait([weak = weak_from_this()](const asio::error_code& error) {
        const auto self = weak.lock();
        if (error || !self || self->closed_)
            return;
        self->waiting_ = false;
        if (self->backlog() <= high_water)
            self->waiting_since_ = {};
        self->write_lists();
        self->next_command();
    });
}

void ManagementConnection::write(std::string_view bytes)
{
    if (link_)
        link_->write(bytes);
    else if (stream_)
        stream_->write(bytes);
}

std::size_t ManagementConnection::backlog() const
{
    return link_ ? link_->backlog() : stream_ ? stream_->backlog() : 0;
}

} // namespace mediaproxy::dispatcher
