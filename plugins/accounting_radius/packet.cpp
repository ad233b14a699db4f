// SPDX-License-Identifier: GPL-2.0-or-later
#include "packet.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdexcept>

namespace mediaproxy::accounting_radius
{

namespace
{

constexpr std::uint8_t accounting_request = 4, accounting_response = 5;
constexpr std::uint8_t vendor_specific = 26;
constexpr std::size_t header_size = 20, authenticator_at = 4, authenticator_size = 16;
constexpr std::size_t longest_packet = 4096, longest_value = 253, vendor_header = 6;

using Authenticator = std::array<std::uint8_t, authenticator_size>;

struct FreeDigest {
    void operator()(EVP_MD_CTX* context) const noexcept { EVP_MD_CTX_free(context); }
};

Authenticator md5(std::initializer_list<ByteView> parts)
{
    const std::unique_ptr<EVP_MD_CTX, FreeDigest> context(EVP_MD_CTX_new());
    Authenticator digest{};
    bool good = context && EVP_DigestInit_ex(context.get(), EVP_md5(), nullptr) == 1;
    for (const ByteView part : parts)
        good = good && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
    if (!good || EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) != 1)
        throw std::runtime_error("OpenSSL on this host has no MD5, which RADIUS is made of");
    return digest;
}

ByteView bytes_of(std::string_view text)
{
    return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

void append_integer(Bytes& bytes, std::uint32_t value)
{
    for (const int shift : {24, 16, 8, 0})
        bytes.push_back(static_cast<std::uint8_t>(value >> shift));
}

void append_value(Bytes& bytes, const Value& value, std::size_t most)
{
    if (const auto* number = std::get_if<std::uint32_t>(&value))
        return append_integer(bytes, *number);
    ByteView view;
    if (const auto* text = std::get_if<std::string>(&value))
        view = bytes_of(cut_to_bytes(*text, most));
    else if (const auto* ipv4 = std::get_if<Ipv4>(&value))
        view = *ipv4;
    else
        view = std::get<Ipv6>(value);
    bytes.insert(bytes.end(), view.begin(), view.end());
}

std::size_t length_field(ByteView packet)
{
    return static_cast<std::size_t>(packet[2]) << 8 | packet[3];
}

} // namespace

std::string_view cut_to_bytes(std::string_view text, std::size_t most) noexcept
{
    if (text.size() <= most)
        return text;
    while (most > 0 && (text[most] & 0xc0) == 0x80)
        --most;
    return text.substr(0, most);
}

bool append_attribute(Bytes& attributes, const Number& number, const Value& value)
{
    const std::size_t start = attributes.size();
    attributes.insert(attributes.end(), {number.type, 0});
    std::size_t most = longest_value;
    if (number.vendor != 0) {
        attributes[start] = vendor_specific;
        append_integer(attributes, number.vendor);
        attributes.insert(attributes.end(), {number.type, 0});
        most -= vendor_header;
    }
    append_value(attributes, value, most);
    attributes[start + 1] = static_cast<std::uint8_t>(attributes.size() - start);
    if (number.vendor != 0)
        attributes[start + 7] =
            static_cast<std::uint8_t>(attributes.size() - start - vendor_header);
    const auto* text = std::get_if<std::string>(&value);
    return text == nullptr || text->size() <= most;
}

Bytes make_request(std::uint8_t identifier, ByteView attributes, const std::string& secret)
{
    const std::size_t size = header_size + attributes.size();
    Bytes packet{accounting_request, identifier, static_cast<std::uint8_t>(size >> 8),
                 static_cast<std::uint8_t>(size)};
    packet.resize(header_size); // the authenticator counts as zeros
    packet.insert(packet.end(), attributes.begin(), attributes.end());
    const Authenticator authenticator = md5({packet, bytes_of(secret)});
    std::copy(authenticator.begin(), authenticator.end(), packet.begin() + authenticator_at);
    return packet;
}

bool acknowledges(ByteView datagram, ByteView request, const std::string& secret)
{
    if (datagram.size() < header_size || datagram[0] != accounting_response ||
        datagram[1] != request[1])
        return false;
    const std::size_t size = length_field(datagram); // what is behind it is padding
    if (size < header_size || size > std::min(datagram.size(), longest_packet))
        return false;
    const Authenticator expected = md5(
        {datagram.first(authenticator_at), request.subspan(authenticator_at, authenticator_size),
         datagram.subspan(header_size, size - header_size), bytes_of(secret)});
    return CRYPTO_memcmp(expected.data(), datagram.data() + authenticator_at, authenticator_size) ==
           0;
}

} // namespace mediaproxy::accounting_radius
