// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "net/address.hpp"
#include "net/endpoint.hpp"
#include "protocol/request.hpp"

namespace mediaproxy::protocol
{

/// What kind of SIP message carried the SDP.
enum class MessageType : std::uint8_t { request, reply };

/// The direction attribute of a media description (RFC 3264).
enum class Direction : std::uint8_t { sendrecv, sendonly, recvonly, inactive };

/// One m= line of an offer or answer.
struct MediaLine {
    std::string_view type; ///< "audio", "video", "image", ...
    net::Endpoint address; ///< port 0 = disabled; 0.0.0.0 or :: = on hold
    Direction direction = Direction::sendrecv;
    bool ice = false;

    bool disabled() const noexcept { return address.port == 0; }
    /// The speaker asks the other side to hold: `sendonly`, `inactive`, or an unspecified address.
    bool holds() const noexcept
    {
        return direction == Direction::sendonly || direction == Direction::inactive ||
               address.address.is_unspecified();
    }
};

/// The m= lines of one SDP, without allocation.
class MediaLines
{
public:
    static constexpr std::size_t most = 32;
    bool push_back(const MediaLine& line) noexcept; ///< false when full
    std::size_t size() const noexcept { return size_; }
    bool empty() const noexcept { return size_ == 0; }
    const MediaLine& operator[](std::size_t i) const noexcept { return lines_[i]; }
    MediaLine& operator[](std::size_t i) noexcept { return lines_[i]; }
    const MediaLine* begin() const noexcept { return lines_.data(); }
    const MediaLine* end() const noexcept { return lines_.data() + size_; }

private:
    std::array<MediaLine, most> lines_;
    std::size_t size_ = 0;
};

/// Reads the value of a `media` header: `type:ip:port:direction[:key=value]...`, joined by commas.
Result<MediaLines> parse_media(std::string_view text);

/// What the `signaling_ip` header says: an address, `caller_callee`, or a JSON object.
struct Signaling {
    net::Address source;      ///< where the SIP message came from; none when not told
    net::Address destination; ///< where it goes; none when not told
    std::string username;     ///< for accounting; empty when not told
};
Signaling parse_signaling(std::string_view text);

/// An `update`, its text parsed once. The views are those of the Request.
struct Update {
    MessageType type = MessageType::request;
    bool has_media = false; ///< false: a 200 to INVITE without SDP
    std::uint32_t cseq = 0;
    std::string_view call_id, from_tag, to_tag; ///< to_tag is empty when absent
    std::string_view from_uri, to_uri;
    std::string_view user_agent; ///< empty when absent
    std::string_view dialog_id;  ///< empty when absent
    Signaling signaling;
    MediaLines media;
};

/// Needs call_id, from_tag, from_uri, to_uri, cseq and type; the error names what is missing.
Result<Update> parse_update(const Request& request);

struct Remove {
    std::string_view call_id, from_tag, to_tag; ///< either tag may be empty, not both
};
Result<Remove> parse_remove(const Request& request);

} // namespace mediaproxy::protocol
