// SPDX-License-Identifier: GPL-2.0-or-later
#include "protocol/request.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/text.hpp"

namespace mediaproxy::protocol
{

namespace
{

constexpr std::string_view crlf = "\r\n";
constexpr std::string_view end_of_request = "\r\n\r\n";

/// Splits the command line; false when it is not of the form that `kind` wants.
bool parse_command(std::string_view line, RequestReader::Kind kind, Request& request)
{
    if (kind == RequestReader::Kind::proxy) {
        request.command = line;
        return !line.empty() && line.find_first_of(" \r\n") == std::string_view::npos;
    }
    const std::size_t blank = line.find(' ');
    request.command = line.substr(0, blank);
    if (blank == std::string_view::npos || request.command.empty())
        return false;
    request.seq = text::parse_number<std::uint64_t>(line.substr(blank + 1));
    return request.seq.has_value();
}

/// Drops what was used up. Moving the rest down is rare: mostly there is none.
void compact(std::string& buffer, std::size_t& begin, std::size_t& scanned)
{
    if (begin == 0)
        return;
    if (begin == buffer.size()) {
        buffer.clear();
        if (buffer.capacity() > 65536)
            buffer.shrink_to_fit();
    } else {
        buffer.erase(0, begin);
    }
    scanned = scanned > begin ? scanned - begin : 0;
    begin = 0;
}

} // namespace

std::string_view Request::find(std::string_view name) const noexcept
{
    const auto found = std::find_if(headers.rbegin(), headers.rend(),
                                    [&](const Header& header) { return header.name == name; });
    return found == headers.rend() ? std::string_view{} : found->value;
}

void Request::clear() noexcept
{
    command = {};
    seq.reset();
    headers.clear();
}

RequestReader::RequestReader(Kind kind)
    : RequestReader(kind, kind == Kind::proxy ? proxy_limits : relay_limits)
{
}

RequestReader::RequestReader(Kind kind, Limits limits) : kind_(kind), limits_(limits)
{
}

void RequestReader::feed(std::string_view bytes)
{
    compact(buffer_, begin_, scanned_);
    buffer_.append(bytes);
}

RequestReader::Outcome RequestReader::next(Request& request)
{
    request.clear();
    // Empty lines between requests mean nothing.
    while (!skipping_ && std::string_view(buffer_).substr(begin_).starts_with(crlf)) {
        begin_ += crlf.size();
        scanned_ = std::max(scanned_, begin_);
    }
    // The one thing that a dispatcher says in a line of its own: the answer to our ping.
    if (kind_ == Kind::relay && !skipping_ &&
        std::string_view(buffer_).substr(begin_).starts_with("pong\r\n")) {
        request.command = "pong";
        begin_ += 6;
        scanned_ = std::max(scanned_, begin_);
        return Outcome::request;
    }
    const std::size_t from = std::max(begin_, scanned_ > 3 ? scanned_ - 3 : 0);
    const std::size_t end = buffer_.find(end_of_request, from);
    if (end == std::string::npos) {
        scanned_ = buffer_.size();
        return buffer_.size() - begin_ > limits_.request ? skip_too_long() : Outcome::need_more;
    }
    const std::string_view text(buffer_.data() + begin_, end - begin_);
    begin_ = end + end_of_request.size();
    scanned_ = begin_;
    if (std::exchange(skipping_, false)) {
        error_ = "the request is too long";
        return Outcome::malformed;
    }
    return parse(text, request);
}

RequestReader::Outcome RequestReader::skip_too_long()
{
    // Keep what may be the beginning of the end; whoever never ends is sent away.
    const bool again = std::exchange(skipping_, true);
    const std::size_t keep = std::min<std::size_t>(3, buffer_.size());
    buffer_.erase(0, buffer_.size() - keep);
    begin_ = 0;
    scanned_ = 0;
    error_ = "an endless request";
    return again ? Outcome::hopeless : Outcome::need_more;
}

RequestReader::Outcome RequestReader::parse(std::string_view text, Request& request)
{
    if (text.size() > limits_.request || !text::is_utf8(text)) {
        error_ = text.size() > limits_.request ? "the request is too long" : "not UTF-8";
        return Outcome::malformed;
    }
    std::size_t end = std::min(text.find(crlf), text.size());
    if (!parse_command(text.substr(0, end), kind_, request) || end > limits_.line) {
        error_ = "not a command line: " + text::printable(text.substr(0, end), 60);
        return Outcome::malformed;
    }
    while (end < text.size()) {
        text.remove_prefix(end + crlf.size());
        end = std::min(text.find(crlf), text.size());
        const std::string_view line = text.substr(0, end);
        const std::size_t colon = line.find(": ");
        if (colon == std::string_view::npos || colon == 0 || end > limits_.line) {
            error_ = end > limits_.line ? std::string("a line is too long")
                                        : "not a header: " + text::printable(line, 60);
            request.headers.clear();
            return Outcome::malformed;
        }
        const Header header{line.substr(0, colon), line.substr(colon + 2)};
        if (!header.value.empty())
            request.headers.push_back(header);
    }
    return Outcome::request;
}

LineReader::LineReader(std::size_t longest) : longest_(longest)
{
}

void LineReader::feed(std::string_view bytes)
{
    compact(buffer_, begin_, scanned_);
    buffer_.append(bytes);
}

LineReader::Outcome LineReader::next(std::string_view& line)
{
    for (;;) {
        const std::size_t end = buffer_.find('\n', std::max(begin_, scanned_));
        if (end == std::string::npos)
            break;
        line = std::string_view(buffer_).substr(begin_, end - begin_);
        begin_ = end + 1;
        scanned_ = begin_;
        if (std::exchange(skipping_, false))
            continue;
        if (line.ends_with('\r'))
            line.remove_suffix(1);
        return line.size() > longest_ ? Outcome::too_long : Outcome::line;
    }
    scanned_ = buffer_.size();
    if (buffer_.size() - begin_ <= longest_ + 1)
        return Outcome::need_more;
    line = std::string_view(buffer_).substr(begin_);
    begin_ = buffer_.size();
    return std::exchange(skipping_, true) ? Outcome::need_more : Outcome::too_long;
}

void format_request(std::string& out, std::string_view command, std::uint64_t seq,
                    const std::vector<Header>& headers)
{
    char digits[20];
    const auto end = std::to_chars(digits, digits + sizeof digits, seq).ptr;
    out.append(command).append(" ").append(digits, end).append(crlf);
    for (const Header& header : headers)
        out.append(header.name).append(": ").append(header.value).append(crlf);
    out.append(crlf);
}

} // namespace mediaproxy::protocol
