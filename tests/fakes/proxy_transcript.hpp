// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <catch2/catch.hpp>
#include <fstream>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

/// What a real SIP proxy was asked over its management socket, and what it answered: one of the
/// files `*-mi.txt` in tests/data/golden.
struct ProxyTranscript {
    struct Exchange {
        std::string title, request;
        std::optional<std::string> answer;
    };

    explicit ProxyTranscript(const std::string& name)
    {
        std::ifstream file(TEST_DATA "/golden/" + name + "-mi.txt");
        REQUIRE(file);
        std::string title;
        for (std::string line; std::getline(file, line);) {
            if (line.starts_with("# "))
                title = line.substr(2);
            else if (line.starts_with("C "))
                exchanges.push_back({title, bytes(line), std::nullopt});
            else if (line.starts_with("D '"))
                exchanges.back().answer = bytes(line);
        }
        REQUIRE_FALSE(exchanges.empty());
    }

    const Exchange& titled(std::string_view title) const
    {
        for (const Exchange& exchange : exchanges) {
            if (exchange.title == title)
                return exchange;
        }
        FAIL("no exchange is titled " << title);
        return exchanges.front();
    }

    std::vector<Exchange> exchanges;

private:
    /// The bytes of a Python literal from the first quote to the last.
    static std::string bytes(const std::string& line)
    {
        std::string result;
        const std::size_t end = line.rfind('\'');
        for (std::size_t i = line.find('\'') + 1; i < end; ++i) {
            if (line[i] != '\\') {
                result += line[i];
                continue;
            }
            const char escaped = line[++i];
            result += escaped == 'n'   ? '\n'
                      : escaped == 't' ? '\t'
                      : escaped == 'r' ? '\r'
                                       : escaped;
        }
        return result;
    }
};
