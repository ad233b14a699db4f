// SPDX-License-Identifier: GPL-2.0-or-later
#include <catch2/catch.hpp>

#include "fakes/temporary_folder.hpp"
#include "plugin/settings.hpp"

using namespace mediaproxy;
using namespace mediaproxy::plugin;
using Catch::Matchers::Contains;

namespace
{

const char* const keys[] = {"path", "password", "server", "key_file", nullptr};

mp_plugin plugin_with_keys()
{
    mp_plugin plugin{};
    plugin.setting_keys = keys;
    return plugin;
}

Result<Settings> prepare(const std::vector<Setting>& settings, const std::string& folder = "")
{
    return Settings::prepare(plugin_with_keys(), "accounting.x", settings, folder);
}

} // namespace

TEST_CASE("settings arrive in their order and an array is its key repeated")
{
    const auto settings = prepare({{"server", "a", ""}, {"path", "p", ""}, {"server", "b", ""}});
    REQUIRE(settings);
    const auto abi = settings->abi();
    REQUIRE(abi.size() == 3);
    CHECK(std::string(abi[0].key) + "=" + abi[0].value == "server=a");
    CHECK(std::string(abi[1].key) + "=" + abi[1].value == "path=p");
    CHECK(std::string(abi[2].key) + "=" + abi[2].value == "server=b");
}

TEST_CASE("an unknown key is an error that names it and the nearest known one")
{
    const auto near = prepare({{"pasword", "x", "/etc/m.toml:9"}});
    REQUIRE_FALSE(near);
    CHECK(near.error().message ==
          "/etc/m.toml:9: accounting.x.pasword: unknown setting, did you mean password?");
    const auto far = prepare({{"colour", "x", ""}});
    REQUIRE_FALSE(far);
    CHECK(far.error().message == "accounting.x.colour: unknown setting");
}

TEST_CASE("a secret may stand in a file and arrives under its own key")
{
    const fakes::TemporaryFolder folder;
    const auto settings =
        prepare({{"password_file", folder.write("secret", "pa ss \xc3\xa4\r\n"), ""}});
    REQUIRE(settings);
    REQUIRE(settings->abi().size() == 1);
    CHECK(settings->abi()[0].key == std::string("password"));
    CHECK(settings->abi()[0].value == std::string("pa ss \xc3\xa4"));
}

TEST_CASE("a relative path of a secret is below the folder of the configuration")
{
    const fakes::TemporaryFolder folder;
    folder.write("secret", "word");
    const auto settings = prepare({{"password_file", "secret", ""}}, folder.path());
    REQUIRE(settings);
    CHECK(settings->abi()[0].value == std::string("word"));
    const auto missing = prepare({{"password_file", "none", ""}}, folder.path());
    REQUIRE_FALSE(missing);
    CHECK_THAT(missing.error().message, Contains("cannot read " + (folder / "none") + ": No such"));
}

TEST_CASE("a key that ends in _file and is the plugin's own is passed as it is")
{
    const auto settings = prepare({{"key_file", "/does/not/exist", ""}});
    REQUIRE(settings);
    CHECK(settings->abi()[0].key == std::string("key_file"));
    CHECK(settings->abi()[0].value == std::string("/does/not/exist"));
}

TEST_CASE("a secret's file that cannot be used is an error that names it")
{
    const fakes::TemporaryFolder folder;
    struct Case {
        std::string file;
        const char* sentence;
    };
    const std::vector<Case> cases{
        {folder / "absent", "cannot read"},
        {folder.path(), "cannot read"},
        {folder.write("two", "one\ntwo\n"), "is not one line of text"},
        {folder.write("zero", std::string("a\0b", 3)), "is not one line of text"},
        {folder.write("long", std::string(70000, 'a')), "is not one line of text"},
    };
    for (const Case& wrong : cases) {
        const auto settings = prepare({{"password_file", wrong.file, "m.toml:1"}});
        REQUIRE_FALSE(settings);
        CHECK_THAT(settings.error().message, Contains("m.toml:1: accounting.x.password_file"));
        CHECK_THAT(settings.error().message, Contains(wrong.sentence));
        CHECK_THAT(settings.error().message, Contains(wrong.file));
    }
}

TEST_CASE("a secret is given once: by value or by file")
{
    const fakes::TemporaryFolder folder;
    const auto settings =
        prepare({{"password", "a", ""}, {"password_file", folder.write("secret", "b"), ""}});
    REQUIRE_FALSE(settings);
    CHECK_THAT(settings.error().message, Contains("password is set too"));
}

TEST_CASE("a zero byte in a value is refused, since C strings end there")
{
    CHECK_FALSE(prepare({{"path", std::string("a\0b", 3), ""}}));
}
