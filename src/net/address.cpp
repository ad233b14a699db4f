// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/address.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <charconv>

#include "base/text.hpp"

namespace mediaproxy::net
{

Result<Address> Address::parse(std::string_view text)
{
    // inet_pton and inet_ntop are pure text conversions: no look-up, no system call.
    char buffer[INET6_ADDRSTRLEN + 1];
    if (text.size() < sizeof buffer && text.find('\0') == std::string_view::npos) {
        text.copy(buffer, text.size());
        buffer[text.size()] = '\0';
        std::array<std::uint8_t, 4> four;
        if (::inet_pton(AF_INET, buffer, four.data()) == 1)
            return v4(four);
        std::array<std::uint8_t, 16> sixteen;
        if (::inet_pton(AF_INET6, buffer, sixteen.data()) == 1) {
            static constexpr std::array<std::uint8_t, 12> mapped{0, 0, 0, 0, 0,    0,
                                                                 0, 0, 0, 0, 0xff, 0xff};
            if (std::equal(mapped.begin(), mapped.end(), sixteen.begin()))
                return v4({sixteen[12], sixteen[13], sixteen[14], sixteen[15]});
            return v6(sixteen);
        }
    }
    return invalid("not an IP address: " + text::printable(text, 60));
}

bool Address::is_unspecified() const noexcept
{
    return family_ != Family::none &&
           std::all_of(bytes_.begin(), bytes_.end(), [](std::uint8_t byte) { return byte == 0; });
}

bool Address::is_loopback() const noexcept
{
    if (is_v4())
        return bytes_[0] == 127;
    return is_v6() && bytes_[15] == 1 &&
           std::all_of(bytes_.begin(), bytes_.end() - 1, [](std::uint8_t b) { return b == 0; });
}

bool Address::is_multicast() const noexcept
{
    if (is_v6())
        return bytes_[0] == 0xff;
    const bool broadcast = std::all_of(bytes_.begin(), bytes_.begin() + 4,
                                       [](std::uint8_t byte) { return byte == 0xff; });
    return is_v4() && ((bytes_[0] & 0xf0) == 0xe0 || broadcast);
}

std::string Address::to_string() const
{
    if (family_ == Family::none)
        return {};
    char buffer[INET6_ADDRSTRLEN];
    if (is_v6()) {
        ::inet_ntop(AF_INET6, bytes_.data(), buffer, sizeof buffer);
        return buffer;
    }
    char* end = buffer; // written for every reply, and inet_ntop is a printf
    for (std::size_t i = 0; i < 4; ++i) {
        if (i > 0)
            *end++ = '.';
        end = std::to_chars(end, buffer + sizeof buffer, bytes_[i]).ptr;
    }
    return {buffer, end};
}

} // namespace mediaproxy::net

std::size_t std::hash<mediaproxy::net::Address>::operator()(
    const mediaproxy::net::Address& address) const noexcept
{
    const auto& bytes = address.bytes();
    return std::hash<std::string_view>{}(
        {reinterpret_cast<const char*>(bytes.data()), address.is_v4() ? 4U : 16U});
}
