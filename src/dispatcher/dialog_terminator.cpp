// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/dialog_terminator.hpp"

#include <algorithm>
#include <cstring>
#include <random>
#include <utility>

#include "base/log.hpp"
#include "base/text.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

using protocol::Dialect;
using Verdict = protocol::EndDialogAnswer::Verdict;

constexpr std::size_t most_waiting = 10000;
constexpr std::chrono::seconds longest_wait{60}; // of one call, whatever happens
constexpr std::chrono::milliseconds longest_pause{5000};
constexpr std::chrono::minutes between_complaints{1};

/// Late answers to the daemon before this one shall not fit.
std::uint64_t first_id()
{
    return std::random_device{}();
}

} // namespace

Result<std::unique_ptr<DialogTerminator>>
DialogTerminator::open(asio::io_context& io, Options::Proxy options,
                       const UnixBinding::Access& access,
                       std::function<bool(const Dialog&)> is_over)
{
    const auto proxy = make_unix_address(options.socket_path);
    if (!proxy)
        return Error{proxy.error().code, "SIP proxy's " + proxy.error().message};
    std::unique_ptr<DialogTerminator> made(
        new DialogTerminator(io, std::move(options), *proxy, std::move(is_over)));
    auto socket = DatagramSocket::open(
        io, made->options_.reply_path, access,
        [here = made.get()](std::string_view datagram) { here->on_datagram(datagram); });
    if (!socket)
        return Error{socket.error().code, "reply " + socket.error().message};
    made->socket_ = std::move(*socket);
    return made;
}

DialogTerminator::DialogTerminator(asio::io_context& io, Options::Proxy options,
                                   const sockaddr_un& proxy,
                                   std::function<bool(const Dialog&)> is_over)
    : options_(std::move(options)), proxy_(proxy), is_over_(std::move(is_over)),
      last_id_(first_id()), pause_(options_.timeout), timer_(io)
{
}

DialogTerminator::~DialogTerminator() = default;

void DialogTerminator::end(Dialog dialog)
{
    if (state_ == State::stopped)
        return;
    auto ways = protocol::ways_to_end(options_.kind, dialog.dialog_id, dialog.call_id);
    if (ways.empty()) {
        ++given_up_;
        return complain("has no dialogs with ids like " + text::printable(dialog.dialog_id, 60));
    }
    if (jobs_.size() >= most_waiting) {
        ++given_up_;
        return complain("too many expired calls wait for it");
    }
    jobs_.push_back({std::move(dialog), Clock::now(), std::move(ways), 0, false, 0});
    ask_next();
}

void DialogTerminator::stop()
{
    state_ = State::stopped;
    timer_.cancel();
    if (!jobs_.empty())
        log::warning("SIP proxy at {}: {} expired calls are not ended there, it did not answer yet",
                     options_.socket_path, jobs_.size());
    jobs_.clear();
}

void DialogTerminator::ask_next()
{
    while (state_ == State::idle && !jobs_.empty()) {
        if (is_worth_asking(jobs_.front()))
            ask();
    }
}

/// When it is not, it is taken off the queue.
bool DialogTerminator::is_worth_asking(const Job& job)
{
    if (!is_over_(job.dialog)) {
        leave_alone();
        return false;
    }
    if (Clock::now() - job.since > longest_wait) {
        give_up("expired calls have waited for it too long");
        return false;
    }
    return true;
}

void DialogTerminator::ask()
{
    const Job& job = jobs_.front();
    const std::string question = job.ways[job.way].write(++last_id_);
    if (const int number = socket_->send(proxy_, question); number != 0)
        return on_failure(std::strerror(number));
    state_ = State::asking;
    after(options_.timeout, &DialogTerminator::on_unanswered);
}

void DialogTerminator::on_datagram(std::string_view datagram)
{
    const auto answer = protocol::parse_end_dialog_answer(datagram);
    if (!answer || state_ != State::asking || !answers_question(*answer)) {
        log::debug("SIP proxy at {}: not an answer to what it was asked: {}", options_.socket_path,
                   text::printable(datagram, 80));
        return;
    }
    pause_ = options_.timeout;
    timer_.cancel();
    ++timer_number_;
    state_ = State::idle;
    on_answer(*answer);
    ask_next();
}

bool DialogTerminator::answers_question(const protocol::EndDialogAnswer& answer) const
{
    const Job& job = jobs_.front();
    if (answer.dialect == Dialect::json)
        return answer.id == std::to_string(last_id_);
    // A proxy that does not know JSON can only refuse it.
    return job.ways[job.way].dialect() == Dialect::lines || answer.verdict == Verdict::refused;
}

void DialogTerminator::on_answer(const protocol::EndDialogAnswer& answer)
{
    Job& job = jobs_.front();
    if (answer.verdict == Verdict::ended)
        return finish("its dialog is ended by the SIP proxy");
    job.known_gone = job.known_gone || answer.verdict == Verdict::gone;
    // It shows by its answer which of the other ways it could understand.
    const protocol::EndDialog& asked = job.ways[job.way];
    const bool understood = answer.dialect == asked.dialect() && answer.knows_call();
    const auto is_pointless = [&, call = asked.call](const protocol::EndDialog& way) {
        return way.dialect() != answer.dialect || (understood && way.call != call);
    };
    do
        ++job.way;
    while (job.way < job.ways.size() && is_pointless(job.ways[job.way]));
    if (job.way < job.ways.size())
        return;
    if (job.known_gone)
        return finish("its dialog is not known to the SIP proxy any more");
    give_up("refuses to end dialogs: " + std::to_string(answer.code) + ' ' +
            text::printable(answer.message, 80));
}

void DialogTerminator::on_unanswered()
{
    state_ = State::idle;
    // An answer that comes later shall not be taken for that to another question; and perhaps
    // somebody took our file away.
    if (auto renewed = socket_->renew(); !renewed)
        return on_failure("the reply " + renewed.error().message);
    on_failure("does not answer");
}

/// Others have their turn before it is asked again, after a pause for all of them: it is the proxy
/// that is in trouble, not the call.
void DialogTerminator::on_failure(std::string_view reason)
{
    Job job = std::move(jobs_.front());
    jobs_.pop_front();
    if (++job.failures <= options_.retries)
        jobs_.push_back(std::move(job));
    else
        ++given_up_;
    complain(reason);
    state_ = State::pausing;
    after(std::exchange(pause_, std::min<Clock::duration>(2 * pause_, longest_pause)),
          &DialogTerminator::end_pause);
}

void DialogTerminator::end_pause()
{
    state_ = State::idle;
    ask_next();
}

void DialogTerminator::finish(std::string_view how)
{
    log::info("session {}: timed out, {}", text::printable(jobs_.front().dialog.call_id, 80), how);
    jobs_.pop_front();
    if (std::exchange(in_trouble_, false) && std::exchange(complained_, false))
        log::info("SIP proxy at {}: ends dialogs again; {} expired calls were not ended there",
                  options_.socket_path, std::exchange(given_up_, 0));
}

void DialogTerminator::leave_alone()
{
    log::info("session {}: goes on, its dialog is not ended",
              text::printable(jobs_.front().dialog.call_id, 80));
    jobs_.pop_front();
}

void DialogTerminator::give_up(std::string_view why)
{
    jobs_.pop_front();
    ++given_up_;
    complain(why);
}

/// Once a trouble; and when troubles come and go, once a minute.
void DialogTerminator::complain(std::string_view why)
{
    const auto now = Clock::now();
    if (std::exchange(in_trouble_, true) ||
        (last_complaint_ && now - *last_complaint_ < between_complaints)) {
        log::debug("SIP proxy at {}: {}", options_.socket_path, why);
        return;
    }
    last_complaint_ = now;
    complained_ = true;
    log::warning("SIP proxy at {}: {}; expired calls stay open there", options_.socket_path, why);
}

void DialogTerminator::after(Clock::duration time, void (DialogTerminator::*then)())
{
    timer_.expires_after(time);
    timer_.async_wait([this, then, number = ++timer_number_,
                       alive = std::weak_ptr<bool>(alive_)](const asio::error_code& error) {
        if (!error && !alive.expired() && number == timer_number_ && state_ != State::stopped)
            (this->*then)();
    });
}

} // namespace mediaproxy::dispatcher
