// SPDX-License-Identifier: GPL-2.0-or-later
#include "protocol/command.hpp"

#include <optional>
#include <rapidjson/document.h>
#include <utility>

#include "base/text.hpp"

namespace mediaproxy::protocol
{

namespace
{

std::optional<Direction> parse_direction(std::string_view text) noexcept
{
    if (text == "sendrecv")
        return Direction::sendrecv;
    if (text == "sendonly")
        return Direction::sendonly;
    if (text == "recvonly")
        return Direction::recvonly;
    if (text == "inactive")
        return Direction::inactive;
    return std::nullopt;
}

/// Cuts the part behind the last colon off `text`.
std::string_view cut_last(std::string_view& text) noexcept
{
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos)
        return {};
    const std::string_view part = text.substr(colon + 1);
    text = text.substr(0, colon);
    return part;
}

/// `type:ip:port:direction` and then none or more `key=value`: an IPv6 address stands unbracketed,
/// so it is read from the right.
Result<MediaLine> parse_line(std::string_view text)
{
    const auto unreadable = [whole = text](std::string_view what) {
        return invalid("media: " + std::string(what) + " in " + text::printable(whole, 100));
    };
    MediaLine line;
    std::string_view part = cut_last(text);
    for (; part.empty() || part.find('=') != std::string_view::npos; part = cut_last(text)) {
        if (text.find(':') == std::string_view::npos)
            return unreadable("too few fields");
        if (part == "ice=yes")
            line.ice = true;
    }
    const auto direction = parse_direction(part);
    if (!direction)
        return unreadable("no direction");
    line.direction = *direction;
    const auto port = text::parse_number<net::Port>(cut_last(text));
    if (!port)
        return unreadable("no port number");
    const std::size_t colon = text.find(':');
    if (colon == std::string_view::npos || colon == 0 || colon > 32)
        return unreadable("no media type");
    auto address = net::Address::parse(text.substr(colon + 1));
    if (!address)
        return unreadable("no IP address");
    line.type = text.substr(0, colon);
    line.address = {*address, *port};
    return line;
}

net::Address parse_address(std::string_view text)
{
    return net::Address::parse(text).value_or(net::Address{});
}

Signaling parse_signaling_object(std::string_view text)
{
    constexpr unsigned flags = rapidjson::kParseIterativeFlag | rapidjson::kParseStopWhenDoneFlag;
    Signaling signaling;
    rapidjson::Document document;
    document.Parse<flags>(text.data(), text.size());
    if (document.HasParseError() || !document.IsObject())
        return signaling;
    const auto member = [&object = std::as_const(document)](const char* name) -> std::string_view {
        const auto found = object.FindMember(name);
        if (found == object.MemberEnd() || !found->value.IsString())
            return {};
        return {found->value.GetString(), found->value.GetStringLength()};
    };
    signaling.source = parse_address(member("signaling_ip"));
    signaling.destination = parse_address(member("destination_ip"));
    signaling.username = member("username");
    return signaling;
}

} // namespace

bool MediaLines::push_back(const MediaLine& line) noexcept
{
    if (size_ == most)
        return false;
    lines_[size_++] = line;
    return true;
}

Result<MediaLines> parse_media(std::string_view text)
{
    MediaLines lines;
    if (text.ends_with(',')) // 4.x takes it
        text.remove_suffix(1);
    for (;;) {
        const std::size_t comma = text.find(',');
        auto line = parse_line(text.substr(0, comma));
        if (!line)
            return std::move(line).error();
        if (!lines.push_back(*line))
            return invalid("media: more than 32 streams");
        if (comma == std::string_view::npos)
            return lines;
        text.remove_prefix(comma + 1);
    }
}

Signaling parse_signaling(std::string_view text)
{
    if (text.starts_with('{'))
        return parse_signaling_object(text);
    Signaling signaling;
    const std::size_t underscore = text.find('_');
    signaling.source = parse_address(text.substr(0, underscore));
    if (underscore != std::string_view::npos)
        signaling.destination = parse_address(text.substr(underscore + 1));
    return signaling;
}

Result<Update> parse_update(const Request& request)
{
    Update update;
    std::string_view type, cseq, media, signaling;
    bool has_media = false;
    for (const Header& header : request.headers) {
        const std::string_view name = header.name;
        std::string_view* const where = name == "call_id"        ? &update.call_id
                                        : name == "from_tag"     ? &update.from_tag
                                        : name == "to_tag"       ? &update.to_tag
                                        : name == "from_uri"     ? &update.from_uri
                                        : name == "to_uri"       ? &update.to_uri
                                        : name == "cseq"         ? &cseq
                                        : name == "type"         ? &type
                                        : name == "user_agent"   ? &update.user_agent
                                        : name == "dialog_id"    ? &update.dialog_id
                                        : name == "signaling_ip" ? &signaling
                                        : name == "media"        ? &media
                                                                 : nullptr;
        if (where)
            *where = header.value;
        has_media |= where == &media;
    }
    for (const auto& [value, name] : {std::pair{update.call_id, "call_id"},
                                      {update.from_tag, "from_tag"},
                                      {update.from_uri, "from_uri"},
                                      {update.to_uri, "to_uri"},
                                      {cseq, "cseq"},
                                      {type, "type"}}) {
        if (value.empty())
            return invalid(std::string("update: no header ") + name);
    }
    if (type != "request" && type != "reply")
        return invalid("update: type is neither request nor reply: " + text::printable(type, 60));
    update.type = type == "request" ? MessageType::request : MessageType::reply;
    const auto number = text::parse_number<std::uint32_t>(cseq);
    if (!number)
        return invalid("update: cseq is not a number: " + text::printable(cseq, 60));
    update.cseq = *number;
    if (!signaling.empty())
        update.signaling = parse_signaling(signaling);
    if (!has_media)
        return update;
    auto lines = parse_media(media);
    if (!lines)
        return std::move(lines).error();
    update.has_media = true;
    update.media = *lines;
    return update;
}

Result<Remove> parse_remove(const Request& request)
{
    const Remove remove{request.find("call_id"), request.find("from_tag"), request.find("to_tag")};
    if (remove.call_id.empty())
        return invalid("remove: no header call_id");
    if (remove.from_tag.empty() && remove.to_tag.empty())
        return invalid("remove: no tag");
    return remove;
}

} // namespace mediaproxy::protocol
