// SPDX-License-Identifier: GPL-2.0-or-later
#include "tls/certificates.hpp"

#include <catch2/catch.hpp>
#include <cstdlib>
#include <filesystem>

Certificates::Certificates()
{
    std::string pattern = std::filesystem::temp_directory_path() / "mediaproxy-tls-XXXXXX";
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    folder_ = pattern;
    make("");
}

Certificates::~Certificates()
{
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
}

void Certificates::make(const std::string& options) const
{
    const std::string command =
        std::string(MAKE_CERTS) + " " + options + " " + folder_ + " >/dev/null";
    REQUIRE(std::system(command.c_str()) == 0);
}

std::shared_ptr<mediaproxy::tls::Context>
Certificates::context(std::string_view name, mediaproxy::Seconds verify_interval) const
{
    auto loaded = mediaproxy::tls::Context::load({folder_, verify_interval}, name);
    if (!loaded)
        FAIL(loaded.error().message);
    return *loaded;
}
