// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <regex>
#include <set>

#include "config/keys.hpp"
#include "config/load.hpp"

using namespace mediaproxy;

namespace
{

std::vector<std::string> lines_of(const std::string& path)
{
    std::ifstream file(SOURCE_ROOT "/" + path);
    REQUIRE(file);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);)
        lines.push_back(line);
    return lines;
}

/// "table.key = value" of every setting with its default, as the loader has it.
std::set<std::string> settings_of_loader()
{
    std::set<std::string> settings;
    for (const config::Key& key : config::keys()) {
        std::string value = key.print(config::Config{});
        if (key.name == "plugin_dir")
            value = "\"@plugindir@\"";
        settings.insert(std::string(key.table) + "." + std::string(key.name) + " = " + value);
    }
    return settings;
}

/// The same from lines "#key = value" below "[table]".
std::set<std::string> settings_of_sample()
{
    std::set<std::string> settings;
    std::string table;
    const std::regex setting("#([a-z_]+ = .*)"), header("\\[(.*)\\]");
    std::smatch found;
    for (const std::string& line : lines_of("etc/mediaproxyd.toml")) {
        if (std::regex_match(line, found, header))
            table = found[1];
        else if (std::regex_match(line, found, setting))
            CHECK(settings.insert(table + "." + std::string(found[1])).second);
    }
    return settings;
}

/// The same from lines ".It Ic key = value" below ".Ss [table]" of the man page, where \(dq is a
/// double quote. Tables of plugins are documented there too; the loader does not know their keys.
std::set<std::string> settings_of_manual()
{
    std::set<std::string> settings;
    std::string table = "none";
    const std::regex setting("\\.It Ic ([a-z_]+ = .*)"), header("\\.Ss (.*)");
    std::smatch found;
    for (const std::string& line : lines_of("man/mediaproxyd.toml.5")) {
        if (std::regex_match(line, found, header)) {
            table = found[1];
            table = table.starts_with('[') ? table.substr(1, table.size() - 2) : "";
        } else if (std::regex_match(line, found, setting) && !table.starts_with("accounting.") &&
                   !table.starts_with("forwarding.")) {
            const std::string text =
                std::regex_replace(std::string(found[1]), std::regex("\\\\\\(dq"), "\"");
            CHECK(settings.insert(table + "." + text).second);
        }
    }
    return settings;
}

void check_equal(const std::set<std::string>& loader, const std::set<std::string>& page)
{
    for (const std::string& setting : loader) {
        INFO("the page lacks: " << setting);
        CHECK(page.contains(setting));
    }
    for (const std::string& setting : page) {
        INFO("the loader does not know: " << setting);
        CHECK(loader.contains(setting));
    }
}

} // namespace

TEST_CASE("the sample file has every setting of the loader with its default")
{
    check_equal(settings_of_loader(), settings_of_sample());
}

TEST_CASE("the man page has every setting of the loader with its default")
{
    check_equal(settings_of_loader(), settings_of_manual());
}

TEST_CASE("the sample file loads as the defaults, as it is and without its comment signs")
{
    std::string as_it_is, uncommented;
    const std::regex setting("#([a-z_]+ = .*)");
    for (const std::string& line : lines_of("etc/mediaproxyd.toml")) {
        as_it_is += line + "\n";
        uncommented += std::regex_replace(line, setting, "$1") + "\n";
    }
    config::Config defaults;
    const auto first = config::parse(as_it_is, "sample");
    REQUIRE(first);
    CHECK(print_config(*first) == print_config(defaults));
    const auto second = config::parse(uncommented, "sample");
    if (!second)
        FAIL(second.error().message);
    defaults.plugin_dir = "@plugindir@";
    CHECK(print_config(*second) == print_config(defaults));
}
