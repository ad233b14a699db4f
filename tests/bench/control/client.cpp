// SPDX-License-Identifier: GPL-2.0-or-later
#include "client.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <sys/socket.h>

namespace bench_control
{

void die(const char* what)
{
    std::fprintf(stderr, "bench_control: %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

sockaddr_un address_of(const char* path)
{
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    return address;
}

int connect_to(const char* path)
{
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_un address = address_of(path);
    if (fd < 0 || ::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        die(path);
    return fd;
}

std::string update_text(const char* type, const std::string& call, const char* to_tag,
                        const std::string& media, int port)
{
    std::string text = "update\r\ntype: ";
    text.append(type).append("\r\ndialog_id: 4041:3798\r\ncall_id: ").append(call);
    text += "\r\ncseq: 1\r\nfrom_uri: alice@example.com\r\nto_uri: bob@example.net\r\nfrom_tag: "
            "A1-13491-of-the-caller\r\nto_tag: ";
    text.append(to_tag).append(
        "\r\nuser_agent: Alice Phone 1.0 (build 20260101)\r\nsignaling_ip: ");
    text.append(media).append("\r\nmedia_relay: \r\nmedia: audio:");
    text.append(media).append(":").append(std::to_string(port));
    return text.append(":sendrecv:ice=no\r\n\r\n");
}

std::string remove_text(const std::string& call)
{
    return "remove\r\ncall_id: " + call +
           "\r\nfrom_tag: A1-13491-of-the-caller\r\nto_tag: B1-13488-of-the-callee\r\n\r\n";
}

double percentile(std::vector<float>& values, double share)
{
    if (values.empty())
        return 0;
    const auto at =
        values.begin() + static_cast<long>(share * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), at, values.end());
    return *at;
}

} // namespace bench_control
