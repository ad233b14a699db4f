// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/io_context.hpp>
#include <asio/steady_timer.hpp>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "dispatcher/options.hpp"
#include "dispatcher/record_sink.hpp"
#include "dispatcher/relay_pool.hpp"
#include "dispatcher/unix_stream.hpp"
#include "protocol/request.hpp"
#include "tls/link.hpp"

namespace mediaproxy::dispatcher
{

/// One client of the management interface (PROTOCOLS section 5): its commands are answered one
/// after the other, long lists in pieces as the client takes them. [core thread]
class ManagementConnection final : public tls::Link::Owner,
                                   public std::enable_shared_from_this<ManagementConnection>
{
public:
    using Framing = Options::Management::Framing;
    struct Settings {
        Framing framing = Framing::lines;
        std::string version;
        const RecordSink* records = nullptr; ///< null: no accounting
    };
    /// `gone` is called once, when the connection is closed.
    ManagementConnection(asio::io_context& io, const RelayPool& pool, const Settings& settings,
                         std::function<void(ManagementConnection&)> gone);
    /// One of the two, before anything else.
    void use(std::shared_ptr<tls::Link> link) { link_ = std::move(link); }
    void use(std::shared_ptr<UnixStream> stream) { stream_ = std::move(stream); }

    void close();

private:
    /// The list of one relay on its way to the client.
    struct List {
        RelayId relay = 0;
        std::optional<Result<RelayPeer::Page>> page; ///< that came and was not written yet
    };

    void on_open() override {}
    void on_bytes(std::string_view bytes) override;
    void on_close(const Error& why) override;

    void next_command();
    void run(std::string_view command);
    void begin_summary();
    void on_summary(std::uint64_t answer, std::size_t place, Result<std::string> text);
    void answer_accounting();
    void begin_sessions();
    void ask_page(std::size_t place, std::uint64_t after);
    void write_lists();
    void write_page(const RelayPeer::Page& page);
    void write_element(std::string_view element);
    void begin_answer();
    void end_answer();
    void write(std::string_view bytes);
    std::size_t backlog() const;
    void wait_for_client();

    asio::io_context& io_;
    const RelayPool& pool_;
    const Settings& settings_;
    std::function<void(ManagementConnection&)> gone_;
    std::shared_ptr<tls::Link> link_;
    std::shared_ptr<UnixStream> stream_;
    protocol::LineReader reader_;
    bool closed_ = false;
    bool busy_ = false;         ///< an answer is under way
    bool running_ = false;      ///< inside next_command()
    std::uint64_t answer_ = 0;  ///< number of the answer under way
    bool first_element_ = true; ///< of the answer
    std::vector<std::string> summaries_;
    std::size_t summaries_open_ = 0;
    std::deque<List> lists_;
    std::size_t lists_begin_ = 0; ///< how many lists were written whole
    asio::steady_timer patience_;
    bool waiting_ = false;
    std::chrono::steady_clock::time_point waiting_since_{};
};

} // namespace mediaproxy::dispatcher
