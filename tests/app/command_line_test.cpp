// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/command_line.hpp"

#include <catch2/catch.hpp>

using namespace mediaproxy;
using app::CommandLine;

namespace
{

Result<CommandLine> parse(std::vector<const char*> words)
{
    return app::parse_command_line(words);
}

} // namespace

TEST_CASE("without options the daemon runs in the background as configured")
{
    const auto line = parse({});
    REQUIRE(line);
    CHECK(line->action == CommandLine::Action::run);
    CHECK(line->place == CommandLine::Place::background);
    CHECK(line->logging == CommandLine::Logging::as_configured);
    CHECK_FALSE(line->role);
    CHECK_FALSE(line->config);
}

TEST_CASE("values come behind = or as the next word")
{
    const auto line = parse({"--role=relay", "--config", "/a b", "--no-fork", "--debug"});
    REQUIRE(line);
    CHECK(line->role == config::Role::relay);
    CHECK(line->config == "/a b");
    CHECK(line->place == CommandLine::Place::foreground);
    CHECK(line->logging == CommandLine::Logging::debug);
    CHECK(parse({"--check"})->action == CommandLine::Action::check);
    CHECK(parse({"--print-config"})->action == CommandLine::Action::print_config);
    CHECK(parse({"--list-plugins"})->action == CommandLine::Action::list_plugins);
    CHECK(parse({"--version"})->action == CommandLine::Action::print_version);
    CHECK(parse({"--help"})->action == CommandLine::Action::print_help);
}

TEST_CASE("a plugin to check has its settings behind it")
{
    const auto line = parse({"--check-plugin", "./accounting_x.so", "path=/a=b", "--patience=5",
                             "table=", "table=two"});
    REQUIRE(line);
    CHECK(line->action == CommandLine::Action::check_plugin);
    CHECK(line->plugin_file == "./accounting_x.so");
    CHECK(line->patience == Seconds(5));
    REQUIRE(line->plugin_settings.size() == 3);
    CHECK(line->plugin_settings[0].key == "path");
    CHECK(line->plugin_settings[0].value == "/a=b");
    CHECK(line->plugin_settings[1].value.empty());
    CHECK(line->plugin_settings[2].value == "two");
    CHECK(parse({"--check-plugin=x.so"})->patience == Seconds(30));
}

TEST_CASE("refused records may be named behind --accounting")
{
    using Verb = CommandLine::Accounting::Verb;
    auto line = parse({"--accounting", "list"});
    REQUIRE(line);
    CHECK(line->action == CommandLine::Action::accounting);
    CHECK(line->accounting.verb == Verb::list);
    CHECK(line->accounting.back_end.empty());
    line = parse({"--accounting=retry", "mysql", "--config=x", "65f-1"});
    REQUIRE(line);
    CHECK(line->accounting.verb == Verb::retry);
    CHECK(line->accounting.back_end == "mysql");
    CHECK(line->accounting.record_id == "65f-1");
    CHECK(line->config == "x");
    CHECK(parse({"--accounting=export"})->accounting.verb == Verb::save);
    CHECK_FALSE(parse({"mysql", "--accounting=list"}));
    CHECK_FALSE(parse({"--accounting=list", "mysql", "id", "more"}));
    CHECK(parse({"--accounting=drop"}).error().message ==
          "--accounting drop: must be list|retry|export");
}

TEST_CASE("what the command line cannot mean is refused with a hint")
{
    struct Case {
        std::vector<const char*> words;
        const char* error;
    };
    const Case cases[] = {
        {{"--rol=relay"}, "unknown option --rol=relay; did you mean --role?"},
        {{"-help"}, "unknown option -help; did you mean --help?"},
        {{"relay"}, "unknown option relay; see --help"},
        {{"--qwertyuiop"}, "unknown option --qwertyuiop; see --help"},
        {{"--"}, "unknown option --; see --help"},
        {{""}, "unknown option ; see --help"},
        {{"--role"}, "--role : must be dispatcher|relay|both"},
        {{"--role=x"}, "--role x: must be dispatcher|relay|both"},
        {{"--config="}, "--config : must be FILE"},
        {{"--check=yes"}, "--check takes no value"},
        {{"--check-plugin"}, "--check-plugin : must be FILE"},
        {{"--check-plugin=x.so", "path"}, "--check-plugin x.so: path is not KEY=VALUE"},
        {{"--check-plugin=x.so", "=1"}, "--check-plugin x.so: =1 is not KEY=VALUE"},
        {{"path=1", "--check-plugin=x.so"}, "unknown option path=1; see --help"},
        {{"--patience=0"}, "--patience 0: must be SECONDS"},
        {{"--patience=soon"}, "--patience soon: must be SECONDS"},
    };
    for (const Case& c : cases) {
        const auto line = parse(c.words);
        REQUIRE(!line);
        CHECK(line.error().message == c.error);
    }
}

TEST_CASE("the help names every option")
{
    const std::string usage = app::usage();
    for (const char* option :
         {"--role=dispatcher|relay|both", "--config=FILE", "--check", "--print-config",
          "--list-plugins", "--check-plugin=FILE", "--patience=SECONDS",
          "--accounting=list|retry|export", "--no-fork", "--debug", "--version", "--help"})
        CHECK_THAT(usage, Catch::Contains(option));
}
