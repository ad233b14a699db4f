// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/ip/tcp.hpp>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/time.hpp"
#include "dispatcher/deadline_queue.hpp"
#include "dispatcher/relay_peer.hpp"
#include "protocol/hello.hpp"
#include "tls/link.hpp"

namespace mediaproxy::dispatcher
{

/// A relay over the network, MediaProxy 4.x or ours (PROTOCOLS section 2). Its first line says
/// which: ours begins with `hello`. Until then nobody knows its name, and it is nobody's peer.
/// [core thread]
class RelayLink final : public RelayPeer, private tls::Link::Owner
{
public:
    class Owner
    {
    public:
        virtual ~Owner() = default;
        /// The relay has said who it is; name() and the like are good from now on.
        virtual void on_relay_known(RelayLink& link) = 0;
        /// The connection is gone. Take the peer out of the pool, then call fail_all(); destroy it
        /// later, not in this call.
        virtual void on_relay_gone(RelayLink& link, const Error& why) = 0;
        virtual void on_relay_expired(RelayLink& link, protocol::SessionReport&& report) = 0;
    };
    struct Settings {
        std::string dispatcher_name, version; ///< told to a relay of ours
        Seconds relay_timeout{5}, relay_recover_interval{60};
        tls::Passport passport;
    };

    /// `settings` and `owner` are borrowed.
    RelayLink(asio::io_context& io, asio::ip::tcp::socket socket,
              std::shared_ptr<tls::Context> context, const Settings& settings, Owner& owner);
    ~RelayLink() override;

    /// Nobody is told; handlers are not called.
    void close();
    /// Calls every handler that waits, with an error.
    void fail_all(const Error& why);
    bool known() const noexcept { return !name_.empty(); }
    /// Of a relay of ours, see protocol::Hello.
    std::string_view instance() const noexcept
    {
        return hello_ ? std::string_view(hello_->instance) : std::string_view();
    }
    std::string_view run() const noexcept
    {
        return hello_ ? std::string_view(hello_->run) : std::string_view();
    }
    /// It may be gone, and its connection does not know yet.
    bool is_silent() const noexcept;
    TimePoint accepted() const noexcept { return accepted_; }
    /// The handshake is done: it has a certificate, where those are asked for.
    bool is_open() const noexcept { return first_question_ != TimePoint{}; }
    /// When its list of sessions was first asked for.
    TimePoint first_question() const noexcept { return first_question_; }

    const std::string& name() const noexcept override { return name_; }
    const net::Address& address() const noexcept override { return link_->remote().address; }
    bool is_called(std::string_view media_relay) const noexcept override;
    bool serves(net::Family family) const noexcept override;
    bool is_ours() const noexcept override { return hello_.has_value(); }
    State state() const noexcept override { return state_; }
    std::size_t session_count() const noexcept override { return 0; }

    void update(const protocol::Request& request, const protocol::Update& update,
                PortsHandler done) override;
    void remove(const protocol::Remove& remove, ReportHandler done) override;
    void sessions(ReportsHandler done) override;
    void session_page(std::uint64_t after, std::size_t most, PageHandler done) override;
    void summary(TextHandler done) override;
    bool keeps_records() const noexcept override { return keeps_records_; }
    void acknowledge(const std::vector<std::string>& record_ids, AcknowledgedHandler done) override;
    void tell_again() override;
    void unsent_letters(CountHandler done) override;

private:
    struct FirstList {
    }; ///< the answer to the first `sessions`
    struct Nothing {
    }; ///< an answer that says nothing to us
    using Handler = std::variant<std::monostate, Nothing, FirstList, PortsHandler, ReportHandler,
                                 TextHandler, PageHandler, AcknowledgedHandler, CountHandler>;

    void on_open() override;
    void on_bytes(std::string_view bytes) override;
    void on_close(const Error& why) override;

    void on_line(std::string_view line);
    void on_hello(std::string_view json);
    void say_hello();
    void on_expired(std::string_view json);
    void on_answer(std::uint64_t seq, std::string_view text);
    void on_too_long(std::string_view beginning);
    void become_known(std::string name);
    void on_first_list(Result<std::string> list);

    void send(std::string_view command, Handler handler);
    Handler take(std::uint64_t seq);
    void deliver(Handler& handler, std::string_view text);
    static void deliver_page(PageHandler& handler, std::string_view text);
    void fail(Handler& handler, const Error& why);
    void on_due(std::uint64_t seq);
    void on_overdue(std::uint64_t seq);
    void collect(std::uint64_t after, std::shared_ptr<std::vector<protocol::SessionReport>> all,
                 ReportsHandler done);
    std::string label() const;

    asio::io_context& io_;
    const Settings& settings_;
    Owner& owner_;
    std::shared_ptr<tls::Link> link_;
    std::string name_;
    std::optional<protocol::Hello> hello_; ///< a relay of ours
    bool keeps_records_ = false;
    State state_ = State::active;
    bool closed_ = false;
    bool told_garbage_ = false;
    protocol::LineReader reader_;
    protocol::Request request_; ///< for what we send
    std::string out_;

    std::deque<Handler> waiting_; ///< of the requests from first_seq_ on; monostate: answered
    std::uint64_t first_seq_ = 0;
    std::map<std::uint64_t, Handler> overdue_; ///< older ones that may still be answered
    DeadlineQueue<std::uint64_t> due_;         ///< relay_timeout
    DeadlineQueue<std::uint64_t> recover_;     ///< relay_recover_interval later
    TimePoint unresponsive_since_{};
    TimePoint heard_ = BootClock::now();

    const TimePoint accepted_ = BootClock::now();
    TimePoint first_question_{};
    std::optional<Result<std::string>> first_list_; ///< until somebody asks
    PageHandler first_asker_;
    bool first_taken_ = false;
    bool list_too_long_ = false; ///< more than we take: asked for no more
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

} // namespace mediaproxy::dispatcher
