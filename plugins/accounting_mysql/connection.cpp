// SPDX-License-Identifier: GPL-2.0-or-later
#include "connection.hpp"

#include <cerrno>
#include <memory>
#include <system_error>

#include <errmsg.h>
#include <fcntl.h>
#include <mysqld_error.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "fault.hpp"

namespace mediaproxy::accounting_mysql
{

namespace
{

using plugin_support::Fault;
using plugin_support::SqlOutcome;
using plugin_support::SqlResult;

constexpr unsigned bytes_a_character = 4; // of utf8mb4, in which the server tells lengths
constexpr unsigned character_set_of_bytes = 63;
constexpr std::chrono::milliseconds farewell{500};

struct FreeResult {
    void operator()(MYSQL_RES* result) const { mysql_free_result(result); }
};
using Result = std::unique_ptr<MYSQL_RES, FreeResult>;

std::string format_seconds(std::chrono::milliseconds time)
{
    std::string text = std::to_string(static_cast<double>(time.count()) / 1000);
    return text.erase(text.find_last_not_of('0') + 1).append(text.back() == '.' ? "0 s" : " s");
}

bool is_closed(unsigned code)
{
    constexpr unsigned idle_too_long = 4031; // MySQL 8 says why
    return code == CR_SERVER_GONE_ERROR || code == CR_SERVER_LOST || code == ER_CONNECTION_KILLED ||
           code == idle_too_long;
}

/// BINARY_FLAG would not tell: text of a collation by bytes has it too.
bool is_text(const MYSQL_FIELD& field)
{
    return (field.type == MYSQL_TYPE_VAR_STRING || field.type == MYSQL_TYPE_STRING) &&
           field.charsetnr != character_set_of_bytes;
}

void read_rows(MYSQL_RES* stored, SqlResult& result)
{
    const unsigned columns = mysql_num_fields(stored);
    const MYSQL_FIELD* fields = mysql_fetch_fields(stored);
    for (unsigned i = 0; i < columns; ++i)
        result.columns.push_back(
            {fields[i].name, is_text(fields[i]) ? fields[i].length / bytes_a_character : 0});
    while (MYSQL_ROW values = mysql_fetch_row(stored)) {
        const unsigned long* lengths = mysql_fetch_lengths(stored);
        auto& row = result.rows.emplace_back(columns);
        for (unsigned i = 0; i < columns; ++i)
            if (values[i] != nullptr)
                row[i].emplace(values[i], lengths[i]);
    }
}

} // namespace

Connection::Connection() : cancelled_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
{
    if (cancelled_ < 0)
        throw std::system_error(errno, std::generic_category(), "eventfd");
}

Connection::~Connection()
{
    close();
    ::close(cancelled_);
}

void Connection::cancel() noexcept
{
    ::eventfd_write(cancelled_, 1);
    cut();
}

/// Nothing comes or goes any more: what libmariadb is in the middle of ends with an error, also
/// where it blocks, as in a TLS handshake.
void Connection::cut() noexcept
{
    const std::lock_guard held(mutex_);
    if (socket_ >= 0)
        ::shutdown(socket_, SHUT_RDWR);
}

/// Another one at each address that libmariadb tries. In a TLS handshake it blocks: the time limit
/// is the socket's then.
void Connection::hold_socket(Milliseconds limit) noexcept
{
    release_socket();
    const std::lock_guard held(mutex_);
    socket_ = ::fcntl(mysql_get_socket(mysql_), F_DUPFD_CLOEXEC, 0);
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limit);
    const timeval time{seconds.count(), std::chrono::microseconds(limit - seconds).count()};
    for (const int which : {SO_RCVTIMEO, SO_SNDTIMEO})
        ::setsockopt(socket_, SOL_SOCKET, which, &time, sizeof time);
}

/// Which libmariadb leaves out, so that OpenSSL would block in reading.
void Connection::make_non_blocking() noexcept
{
    const my_socket socket = mysql_get_socket(mysql_);
    ::fcntl(socket, F_SETFL, ::fcntl(socket, F_GETFL) | O_NONBLOCK);
}

void Connection::release_socket() noexcept
{
    const std::lock_guard held(mutex_);
    if (socket_ >= 0)
        ::close(socket_);
    socket_ = -1;
}

/// What libmariadb waits for, as far as it came; MYSQL_WAIT_TIMEOUT when it shall give up.
int Connection::await(int wanted, Deadline deadline, Ending& ending) noexcept
{
    pollfd watched[] = {{cancelled_, POLLIN, 0}, {mysql_get_socket(mysql_), 0, 0}};
    watched[1].events = static_cast<short>(((wanted & MYSQL_WAIT_READ) != 0 ? POLLIN : 0) |
                                           ((wanted & MYSQL_WAIT_WRITE) != 0 ? POLLOUT : 0) |
                                           ((wanted & MYSQL_WAIT_EXCEPT) != 0 ? POLLPRI : 0));
    int ready = 0;
    do {
        const auto left = std::chrono::ceil<Milliseconds>(deadline - Deadline::clock::now());
        ready = ending != Ending::finished || left.count() <= 0
                    ? 0
                    : ::poll(watched, 2, static_cast<int>(left.count()));
    } while (ready < 0 && errno == EINTR);
    if (ready > 0 && watched[0].revents == 0) {
        const short came = watched[1].revents;
        const int failed = (came & (POLLERR | POLLHUP | POLLNVAL)) != 0 ? wanted : 0;
        return failed | ((came & POLLIN) != 0 ? MYSQL_WAIT_READ : 0) |
               ((came & POLLOUT) != 0 ? MYSQL_WAIT_WRITE : 0) |
               ((came & POLLPRI) != 0 ? MYSQL_WAIT_EXCEPT : 0);
    }
    if (ending == Ending::finished)
        ending = ready > 0 ? Ending::cancelled : Ending::too_late;
    cut();
    return MYSQL_WAIT_TIMEOUT;
}

/// Drives one of libmariadb's calls to its end, which comes soon once the time is over: every
/// further wait of it fails at once.
template <class Continue>
Connection::Ending Connection::finish(int wanted, Continue&& go_on, Deadline deadline) noexcept
{
    Ending ending = Ending::finished;
    while (wanted != 0)
        wanted = go_on(await(wanted, deadline, ending));
    return ending;
}

SqlOutcome Connection::failure(Ending ending, Milliseconds limit)
{
    was_closed_ = ending == Ending::finished && is_closed(mysql_errno(mysql_));
    if (ending == Ending::cancelled)
        return {Fault::unavailable, "cancelled"};
    if (ending == Ending::too_late)
        return {Fault::unavailable, "no answer within " + format_seconds(limit)};
    return {fault_of(mysql_errno(mysql_), mysql_sqlstate(mysql_)), mysql_error(mysql_)};
}

MYSQL* Connection::renew()
{
    close();
    mysql_ = mysql_init(nullptr);
    if (mysql_ != nullptr)
        mysql_options(mysql_, MYSQL_OPT_NONBLOCK, nullptr);
    return mysql_;
}

void Connection::close() noexcept
{
    if (mysql_ == nullptr)
        return;
    finish(
        mysql_close_start(mysql_), [&](int ready) { return mysql_close_cont(mysql_, ready); },
        Deadline::clock::now() + farewell);
    mysql_ = nullptr;
    release_socket();
}

SqlOutcome Connection::open(const char* host, const char* user, const char* password,
                            const char* database, unsigned port, const char* socket,
                            Milliseconds limit)
{
    // A handshake that met the socket's time limit would be tried again for ever without this.
    const unsigned soon = 1;
    mysql_options(mysql_, MYSQL_OPT_CONNECT_TIMEOUT, &soon);
    MYSQL* connected = nullptr;
    const Deadline deadline = Deadline::clock::now() + limit;
    int wanted = mysql_real_connect_start(&connected, mysql_, host, user, password, database, port,
                                          socket, 0);
    Ending ending = Ending::finished;
    while (wanted != 0) {
        hold_socket(limit);
        wanted = mysql_real_connect_cont(&connected, mysql_, await(wanted, deadline, ending));
    }
    make_non_blocking();
    return connected != nullptr && ending == Ending::finished ? SqlOutcome()
                                                              : failure(ending, limit);
}

SqlOutcome Connection::query(const std::string& sql, SqlResult* result, Milliseconds limit)
{
    const Deadline deadline = Deadline::clock::now() + limit;
    int failed = 0;
    Ending ending = finish(
        mysql_real_query_start(&failed, mysql_, sql.data(), sql.size()),
        [&](int ready) { return mysql_real_query_cont(&failed, mysql_, ready); }, deadline);
    if (failed != 0 || ending != Ending::finished)
        return failure(ending, limit);
    if (mysql_field_count(mysql_) == 0)
        return {};
    MYSQL_RES* stored = nullptr;
    ending = finish(
        mysql_store_result_start(&stored, mysql_),
        [&](int ready) { return mysql_store_result_cont(&stored, mysql_, ready); }, deadline);
    const Result owned(stored);
    if (stored == nullptr || ending != Ending::finished)
        return failure(ending, limit);
    if (result != nullptr)
        read_rows(stored, *result);
    return {};
}

} // namespace mediaproxy::accounting_mysql
