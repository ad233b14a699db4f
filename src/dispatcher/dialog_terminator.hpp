// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "dispatcher/datagram_socket.hpp"
#include "dispatcher/options.hpp"
#include "protocol/dialog_end.hpp"

namespace mediaproxy::dispatcher
{

/// Asks the SIP proxy to end the dialogs of calls whose media has timed out (PROTOCOLS section 7).
/// One question at a time, for the answers of OpenSIPS 2.4 do not say to what; a bounded number
/// waits its turn, each is asked a bounded number of times, with growing pauses. Whatever the proxy
/// does or does not do harms nobody else; the log says so once a trouble, not once a call.
/// [core thread]
class DialogTerminator
{
public:
    struct Dialog {
        std::string dialog_id, call_id, from_tag;
    };
    /// The paths of `options` are absolute. `is_over` is asked before each question: a call that
    /// has come to life again is left alone. The error names the reply socket.
    static Result<std::unique_ptr<DialogTerminator>>
    open(asio::io_context& io, Options::Proxy options, const UnixBinding::Access& access,
         std::function<bool(const Dialog&)> is_over);
    ~DialogTerminator();

    /// The call is over; nothing is told to anybody about it.
    void end(Dialog dialog);
    /// There are calls to end, and the proxy answers or has not been late yet.
    bool gets_on() const noexcept { return !jobs_.empty() && !in_trouble_; }
    /// Asks no more.
    void stop();

private:
    using Clock = std::chrono::steady_clock;
    struct Job {
        Dialog dialog;
        Clock::time_point since;
        std::vector<protocol::EndDialog> ways;
        std::size_t way = 0;
        bool known_gone = false; ///< by one of its names
        int failures = 0;
    };
    enum class State { idle, asking, pausing, stopped };

    DialogTerminator(asio::io_context& io, Options::Proxy options, const sockaddr_un& proxy,
                     std::function<bool(const Dialog&)> is_over);
    void ask_next();
    bool is_worth_asking(const Job& job);
    void ask();
    void on_datagram(std::string_view datagram);
    bool answers_question(const protocol::EndDialogAnswer& answer) const;
    void on_answer(const protocol::EndDialogAnswer& answer);
    void on_unanswered();
    void on_failure(std::string_view reason);
    void finish(std::string_view how);
    void leave_alone();
    void give_up(std::string_view why);
    void complain(std::string_view why);
    void after(Clock::duration time, void (DialogTerminator::*then)());
    void end_pause();

    Options::Proxy options_;
    sockaddr_un proxy_;
    std::function<bool(const Dialog&)> is_over_;
    std::unique_ptr<DatagramSocket> socket_;
    std::deque<Job> jobs_; ///< the first one is asked about
    State state_ = State::idle;
    std::uint64_t last_id_; ///< of a question
    Clock::duration pause_;

    bool in_trouble_ = false, complained_ = false;
    std::optional<Clock::time_point> last_complaint_;
    std::uint64_t given_up_ = 0; ///< since the last complaint

    asio::steady_timer timer_;
    std::uint64_t timer_number_ = 0;                             ///< of the wait that counts
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true); ///< asked by a handler in flight
};

} // namespace mediaproxy::dispatcher
