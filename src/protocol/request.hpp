// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mediaproxy::protocol
{

struct Header {
    std::string_view name;
    std::string_view value;
};

/// A command with its headers, as text: views into the reader's buffer (or whatever text it was
/// made from), valid until the reader is used again. Headers with an empty value count as absent
/// and are not in the list.
struct Request {
    std::string_view command;
    std::optional<std::uint64_t> seq; ///< only on the link between dispatcher and relay
    std::vector<Header> headers;      ///< in the order in which they came; keeps its capacity

    /// The value of the last header of that name, empty when there is none.
    std::string_view find(std::string_view name) const noexcept;
    void clear() noexcept;
};

/// Cuts the bytes of one connection into requests: a command line, `name: value` lines, an empty
/// line, each ended by CRLF. Memory is bounded whatever arrives.
class RequestReader
{
public:
    enum class Kind {
        proxy, ///< `COMMAND`
        relay, ///< `COMMAND SEQ`; and the line `pong` alone, which comes as a request without seq
    };
    struct Limits {
        std::size_t line;    ///< bytes of one line
        std::size_t request; ///< bytes of a whole request
    };
    static constexpr Limits proxy_limits{16384, 262144};
    static constexpr Limits relay_limits{4U << 20, 8U << 20};

    enum class Outcome {
        need_more, ///< no whole request there
        request,   ///< `request` is filled
        malformed, ///< one whole request that cannot be read was skipped: answer `error`; `error()`
                   ///< says why. `request.command` and `.seq` are filled when they were readable
        hopeless,  ///< an endless line: the connection should be closed
    };

    explicit RequestReader(Kind kind);
    RequestReader(Kind kind, Limits limits);

    /// Appends bytes as they were received; they are copied.
    void feed(std::string_view bytes);
    /// The next whole request. Call until need_more.
    Outcome next(Request& request);
    const std::string& error() const noexcept { return error_; }

private:
    Outcome parse(std::string_view text, Request& request);
    Outcome skip_too_long();

    Kind kind_;
    Limits limits_;
    std::string buffer_;
    std::size_t begin_ = 0;   ///< of the request that is being received
    std::size_t scanned_ = 0; ///< no end of request before this
    bool skipping_ = false;   ///< inside a request that is too long
    std::string error_;
};

/// Cuts bytes into lines ended by CRLF or LF, for what answers line by line: relays' answers,
/// dispatchers' lines, the management interface.
class LineReader
{
public:
    enum class Outcome { need_more, line, too_long };

    explicit LineReader(std::size_t longest);
    void feed(std::string_view bytes);
    /// `line` is without its end and valid until the reader is used again. too_long: the line was
    /// skipped up to its end, or is being skipped; reported once, with how it begins as `line`.
    Outcome next(std::string_view& line);
    /// Bytes that were fed and not yet asked for: a limit for who lets them wait.
    std::size_t unread() const noexcept { return buffer_.size() - begin_; }

private:
    std::size_t longest_;
    std::string buffer_;
    std::size_t begin_ = 0;
    std::size_t scanned_ = 0;
    bool skipping_ = false;
};

/// `update 17\r\nname: value\r\n...\r\n\r\n` appended to `out`.
void format_request(std::string& out, std::string_view command, std::uint64_t seq,
                    const std::vector<Header>& headers);

} // namespace mediaproxy::protocol
