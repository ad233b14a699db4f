// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <asio/buffer.hpp>
#include <asio/io_context.hpp>
#include <asio/ip/udp.hpp>
#include <map>
#include <string>
#include <vector>

#include "net/address.hpp"

namespace mediaproxy::test
{

/// A name server on loopback (RFC 1035, RFC 2782) that knows what the test tells it.
class NameServer
{
public:
    explicit NameServer(asio::io_context& io) : socket_(io, {asio::ip::address_v4::loopback(), 0})
    {
        receive();
    }
    std::string address() const
    {
        return "127.0.0.1:" + std::to_string(socket_.local_endpoint().port());
    }

    std::map<std::string, std::vector<std::string>> services;   ///< SRV: target hosts
    std::map<std::string, std::vector<net::Address>> addresses; ///< A
    bool broken = false;                                        ///< SERVFAIL to everything
    int questions = 0;

private:
    static void append(std::string& out, unsigned number)
    {
        out += static_cast<char>(number >> 8U);
        out += static_cast<char>(number & 255U);
    }
    static std::string encoded(const std::string& name)
    {
        std::string out;
        for (std::size_t begin = 0; begin < name.size();) {
            const std::size_t end = std::min(name.find('.', begin), name.size());
            out += static_cast<char>(end - begin);
            out += name.substr(begin, end - begin);
            begin = end + 1;
        }
        return out + '\0';
    }
    static std::string decoded(const std::string& question, std::size_t& at)
    {
        std::string name;
        while (question.at(at) != 0) {
            const auto length = static_cast<std::size_t>(question[at]);
            name += (name.empty() ? "" : ".") + question.substr(at + 1, length);
            at += 1 + length;
        }
        ++at;
        return name;
    }
    static std::string record(unsigned type, const std::string& data)
    {
        std::string out;
        append(out, 0xc00c); // the name of the question
        append(out, type);
        append(out, 1);
        append(out, 0);
        append(out, 0); // do not keep it
        append(out, static_cast<unsigned>(data.size()));
        return out + data;
    }
    std::string answer(const std::string& query)
    {
        constexpr unsigned type_a = 1, type_srv = 33;
        std::size_t at = 12;
        const std::string name = decoded(query, at);
        const auto type = static_cast<unsigned>(static_cast<unsigned char>(query.at(at + 1)));
        std::string records;
        unsigned count = 0;
        if (type == type_srv) {
            for (const auto& target : services[name]) {
                std::string data;
                append(data, count); // priority
                append(data, 0);
                append(data, 9); // its port is not ours
                records += record(type_srv, data + encoded(target));
                ++count;
            }
        } else if (type == type_a) {
            for (const auto& address : addresses[name]) {
                records += record(
                    type_a, std::string(address.bytes().begin(), address.bytes().begin() + 4));
                ++count;
            }
        }
        const bool known = services.contains(name) || !addresses[name].empty();
        std::string out = query.substr(0, 2);
        append(out, broken ? 0x8182 : known ? 0x8180 : 0x8183);
        append(out, 1);
        append(out, broken ? 0 : count);
        append(out, 0);
        append(out, 0);
        out += query.substr(12, at + 4 - 12);
        return broken ? out : out + records;
    }
    void receive()
    {
        socket_.async_receive_from(
            asio::buffer(buffer_), client_,
            [this](const asio::error_code& error, std::size_t size) {
                if (error)
                    return;
                ++questions;
                socket_.send_to(asio::buffer(answer({buffer_.data(), size})), client_);
                receive();
            });
    }

    asio::ip::udp::socket socket_;
    asio::ip::udp::endpoint client_;
    std::array<char, 1500> buffer_{};
};

} // namespace mediaproxy::test
