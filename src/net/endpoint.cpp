// SPDX-License-Identifier: GPL-2.0-or-later
#include "net/endpoint.hpp"

#include "base/text.hpp"

namespace mediaproxy::net
{

std::string Endpoint::to_string() const
{
    if (address.is_v6())
        return "[" + address.to_string() + "]:" + std::to_string(port);
    return to_record();
}

std::string Endpoint::to_record() const
{
    return address ? address.to_string() + ":" + std::to_string(port) : "Unknown";
}

Result<Endpoint> parse_endpoint(std::string_view text)
{
    const std::size_t colon = text.rfind(':');
    if (colon == std::string_view::npos)
        return invalid("not address:port: " + text::printable(text, 60));
    std::string_view host = text.substr(0, colon);
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    const auto port = text::parse_number<Port>(text.substr(colon + 1));
    auto address = Address::parse(host);
    if (!port || !address)
        return invalid("not address:port: " + text::printable(text, 60));
    return Endpoint{*address, *port};
}

} // namespace mediaproxy::net
