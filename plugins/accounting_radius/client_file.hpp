// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "result.hpp"

namespace mediaproxy::accounting_radius
{

/// One of `acctserver`.
struct NamedServer {
    std::string host; ///< a name or an address, without brackets
    std::uint16_t port = 1813;
    std::string secret; ///< "": in the file `servers`
};

/// What of a RADIUS client's configuration file concerns accounting: the format of radcli,
/// freeradius-client and radiusclient-ng.
struct ClientFile {
    std::vector<NamedServer> servers; ///< in the order in which they are tried
    std::string secrets_file;         ///< `servers`
    std::string dictionary;
    std::string bind_address; ///< "": any
    std::chrono::seconds timeout{10};
    int tries = 3;                      ///< `radius_retries`: so many times a request is sent
    std::chrono::seconds dead_time{60}; ///< a silent server is passed over for that long
};

/// Keys that say nothing about accounting are passed over. `path` is for the sentence of a failure.
Result<ClientFile> parse_client_file(std::string_view text, const std::string& path);

/// The secrets of the file `servers`, looked for by the names of a server: as the client's file
/// has it, and its addresses.
class Secrets
{
public:
    static Secrets parse(std::string_view text);

    std::optional<std::string> find(const std::string& host) const;

private:
    struct Line {
        std::string name, secret;
    };
    std::vector<Line> lines_;
};

/// The whole file.
Result<std::string> read_file(const std::string& path);

/// A path in a file is below that file's folder, unless it is absolute.
std::string path_beside(const std::string& file, const std::string& path);

} // namespace mediaproxy::accounting_radius
