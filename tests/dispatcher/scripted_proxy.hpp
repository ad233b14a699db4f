// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <catch2/catch.hpp>
#include <cerrno>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <vector>

#include "base/unique_fd.hpp"

/// The id in a JSON-RPC question or answer; empty: none.
inline std::string json_id(const std::string& text)
{
    std::size_t at = text.find("\"id\":");
    if (at == std::string::npos)
        return {};
    at = text.find('"', at + 5) + 1;
    return text.substr(at, text.find('"', at) - at);
}

/// `text` with another id where it has one.
inline std::string with_id(std::string text, const std::string& id)
{
    const std::string old = json_id(text);
    if (!old.empty())
        text.replace(text.rfind('"' + old + '"') + 1, old.size(), id);
    return text;
}

/// The management socket of a SIP proxy: what it was asked, and answers as the test says.
class ScriptedProxy
{
public:
    /// Nothing: it does not answer.
    using Answer = std::function<std::optional<std::string>(const std::string& question)>;

    explicit ScriptedProxy(const std::string& path, Answer answer = {})
        : path_(path), answer_(std::move(answer)),
          socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0))
    {
        const sockaddr_un address = to_address(path);
        REQUIRE(::bind(socket_.get(), plain(address), sizeof address) == 0);
    }
    ~ScriptedProxy() { ::unlink(path_.c_str()); }
    ScriptedProxy(const ScriptedProxy&) = delete;
    ScriptedProxy& operator=(const ScriptedProxy&) = delete;

    /// Reads what is there now, and answers.
    void poll()
    {
        char buffer[4096];
        for (;;) {
            sockaddr_un from{};
            socklen_t length = sizeof from;
            const ssize_t size = ::recvfrom(socket_.get(), buffer, sizeof buffer, 0,
                                            reinterpret_cast<sockaddr*>(&from), &length);
            if (size < 0)
                return;
            questions.emplace_back(buffer, static_cast<std::size_t>(size));
            askers.emplace_back(from.sun_path);
            const auto answer = answer_ ? answer_(questions.back()) : std::nullopt;
            if (answer)
                CHECK(say(askers.back(), *answer) == 0);
        }
    }
    /// From the proxy to this path; 0 or errno.
    int say(const std::string& to, std::string_view text)
    {
        const sockaddr_un address = to_address(to);
        return ::sendto(socket_.get(), text.data(), text.size(), MSG_DONTWAIT, plain(address),
                        sizeof address) < 0
                   ? errno
                   : 0;
    }

    std::vector<std::string> questions, askers;

private:
    static sockaddr_un to_address(const std::string& path)
    {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        return address;
    }
    static const sockaddr* plain(const sockaddr_un& address)
    {
        return reinterpret_cast<const sockaddr*>(&address);
    }

    std::string path_;
    Answer answer_;
    mediaproxy::UniqueFd socket_;
};
