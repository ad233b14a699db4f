// SPDX-License-Identifier: GPL-2.0-or-later
#include "connection.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <system_error>
#include <utility>

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace mediaproxy::accounting_postgres
{

namespace
{

using Clock = std::chrono::steady_clock;
constexpr int text_format = 0, binary_format = 1; // as libpq counts them

/// libpq writes several lines; the log has one.
std::string one_line(std::string_view text)
{
    while (!text.empty() && text.back() == '\n')
        text.remove_suffix(1);
    std::string line;
    for (const char c : text) {
        if (c != '\n' && c != '\t')
            line += c;
        else if (!line.empty() && line.back() != ' ')
            line += ' ';
    }
    return line;
}

Failure failure_of(const PGresult* result)
{
    const char* state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char* message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char* column = PQresultErrorField(result, PG_DIAG_COLUMN_NAME);
    return {one_line(message != nullptr ? message : PQresultErrorMessage(result)),
            state != nullptr ? state : "", column != nullptr ? column : ""};
}

} // namespace

Connection::Connection() : cancel_fd_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
{
    if (cancel_fd_ < 0)
        throw std::system_error(errno, std::generic_category(), "eventfd");
}

Connection::~Connection()
{
    ::close(cancel_fd_);
}

void Connection::cancel() noexcept
{
    const std::uint64_t one = 1;
    // It can only fail when the counter is full, and then it is readable as well.
    [[maybe_unused]] const auto written = ::write(cancel_fd_, &one, sizeof one);
}

Failure Connection::lost() const
{
    const std::string message = one_line(PQerrorMessage(connection_.get()));
    return {message.empty() ? "the connection was lost" : message, ""};
}

Failure Connection::wait(short events, Clock::time_point deadline) const
{
    std::array<pollfd, 2> watched{
        pollfd{PQsocket(connection_.get()), events, 0},
        pollfd{cancel_fd_, POLLIN, 0},
    };
    while (true) {
        const auto left = std::chrono::ceil<Milliseconds>(deadline - Clock::now());
        const int ready = ::poll(watched.data(), watched.size(),
                                 static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready < 0)
            return {std::system_category().message(errno), ""};
        if (watched[1].revents != 0)
            return {"cancelled", ""};
        if (ready == 0)
            return {"no answer in time", ""};
        return {};
    }
}

Failure Connection::open(const std::vector<Setting>& settings, Milliseconds timeout)
{
    std::vector<const char*> keys, values;
    for (const Setting& setting : settings) {
        keys.push_back(setting.key.c_str());
        values.push_back(setting.value.c_str());
    }
    keys.push_back(nullptr);
    values.push_back(nullptr);
    const auto deadline = Clock::now() + timeout;
    connection_.reset(PQconnectStartParams(keys.data(), values.data(), 0));
    if (!connection_)
        return {"out of memory", ""};
    Failure failure = connect(deadline);
    if (failure.any())
        connection_.reset();
    return failure;
}

Failure Connection::connect(Clock::time_point deadline)
{
    if (PQstatus(connection_.get()) == CONNECTION_BAD)
        return lost();
    // As libpq says: at first as if it had asked to write.
    PostgresPollingStatusType state = PGRES_POLLING_WRITING;
    while (state != PGRES_POLLING_OK) {
        if (state == PGRES_POLLING_FAILED)
            return lost();
        if (Failure failure = wait(state == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline);
            failure.any())
            return failure;
        state = PQconnectPoll(connection_.get());
    }
    // The server's notices are for its own log.
    PQsetNoticeProcessor(
        connection_.get(), [](void*, const char*) {}, nullptr);
    if (PQsetnonblocking(connection_.get(), 1) != 0 || PQenterPipelineMode(connection_.get()) != 1)
        return lost();
    return {};
}

Failure Connection::send(const Statement& statement)
{
    std::vector<const char*> values;
    std::vector<int> sizes;
    for (const std::string_view value : statement.values) {
        values.push_back(value.data());
        sizes.push_back(static_cast<int>(value.size()));
    }
    const std::vector<int> formats(values.size(), binary_format);
    if (PQsendQueryParams(connection_.get(), statement.sql.c_str(), static_cast<int>(values.size()),
                          nullptr, values.data(), sizes.data(), formats.data(), text_format) != 1)
        return lost();
    return {};
}

/// Reads meanwhile, or both sides could wait for each other.
Failure Connection::flush(Clock::time_point deadline)
{
    while (true) {
        const int left = PQflush(connection_.get());
        if (left == 0)
            return {};
        if (left < 0)
            return lost();
        if (Failure failure = wait(POLLIN | POLLOUT, deadline); failure.any())
            return failure;
        if (PQconsumeInput(connection_.get()) != 1)
            return lost();
    }
}

Failure Connection::receive(Result& result, Milliseconds timeout)
{
    const auto deadline = Clock::now() + timeout;
    while (PQisBusy(connection_.get()) != 0) {
        if (Failure failure = wait(POLLIN, deadline); failure.any())
            return failure;
        if (PQconsumeInput(connection_.get()) != 1)
            return lost();
    }
    result.reset(PQgetResult(connection_.get()));
    return {};
}

Failure Connection::collect(std::size_t count, std::vector<Result>& results, Milliseconds timeout)
{
    Failure first;
    std::size_t ended = 0;
    // After each statement's results comes a null, at the very end the answer to the sync.
    while (true) {
        Result result;
        if (Failure failure = receive(result, timeout); failure.any()) {
            connection_.reset();
            return first.any() ? first : failure;
        }
        if (!result) {
            if (++ended > count) {
                connection_.reset();
                return first.any() ? first : Failure{"the connection was lost", ""};
            }
            continue;
        }
        switch (PQresultStatus(result.get())) {
        case PGRES_PIPELINE_SYNC:
            return first;
        case PGRES_PIPELINE_ABORTED:
            break;
        case PGRES_COMMAND_OK:
        case PGRES_TUPLES_OK:
            results.push_back(std::move(result));
            break;
        default:
            if (!first.any())
                first = failure_of(result.get());
        }
    }
}

Failure Connection::run(std::span<const Statement> statements, std::vector<Result>& results,
                        Milliseconds timeout)
{
    results.clear();
    if (!connection_)
        return {"not connected", ""};
    Failure failure;
    for (const Statement& statement : statements) {
        failure = send(statement);
        if (failure.any())
            break;
    }
    if (!failure.any() && PQpipelineSync(connection_.get()) != 1)
        failure = lost();
    if (!failure.any())
        failure = flush(Clock::now() + timeout);
    if (failure.any()) {
        connection_.reset();
        return failure;
    }
    failure = collect(statements.size(), results, timeout);
    // The server ended it: nothing more will come.
    if (connection_ && PQstatus(connection_.get()) != CONNECTION_OK)
        connection_.reset();
    return failure;
}

} // namespace mediaproxy::accounting_postgres
