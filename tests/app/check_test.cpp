// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/check.hpp"

#include <catch2/catch.hpp>

#include "config/load.hpp"

using namespace mediaproxy;

namespace
{

std::string problems_of(const std::string& text)
{
    const auto config = config::parse("plugin_dir = \"/nonexistent\"\n" + text, "f");
    if (!config)
        FAIL(config.error().message);
    std::string all;
    for (const std::string& problem : app::find_problems(*config))
        all += problem + "\n";
    return all;
}

} // namespace

TEST_CASE("what uses no TLS and no plugin needs no files")
{
    CHECK(problems_of("[dispatcher]\nlisten = []\n[dispatcher.management]\nuse_tls = false\n"
                      "[relay]\nforwarding = \"none\"")
              .empty());
    CHECK(problems_of("[dispatcher]\nlisten = []\n[dispatcher.management]\nenabled = false\n"
                      "[relay]\nforwarding = \"none\"")
              .empty());
}

TEST_CASE("certificates and plugins that are missing are problems of the roles that need them")
{
    struct Case {
        const char* text;
        const char* problem;
    };
    const Case cases[] = {
        {"role = \"dispatcher\"", "ca.pem"},
        {"role = \"dispatcher\"\n[dispatcher]\nlisten = []", "[dispatcher] listen"},
        {"role = \"relay\"\n[relay]\ndispatchers = [\"a\"]\nforwarding = \"none\"", "ca.pem"},
        {"role = \"relay\"\n[relay]\ndispatchers = [\"a\"]", "forwarding_userspace.so"},
        {"role = \"relay\"\n[relay]\ndispatchers = [\"a\"]\n[forwarding.nftables]",
         "forwarding_nftables.so"},
        {"role = \"dispatcher\"\n[dispatcher]\naccounting = [\"nosuch\"]", "accounting_nosuch.so"},
        {"[dispatcher]\naccounting = [\"a\"]\n[accounting.a]\nplugin = \"other\"",
         "accounting_other.so"},
    };
    for (const Case& c : cases) {
        INFO(c.text);
        CHECK_THAT(problems_of(c.text), Catch::Contains(c.problem));
    }
}
