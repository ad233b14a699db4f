// SPDX-License-Identifier: GPL-2.0-or-later
#include <asio/io_context.hpp>
#include <catch2/catch.hpp>
#include <filesystem>

#include "fakes/temporary_folder.hpp"
#include "plugin/accounting_backend.hpp"
#include "plugin/library.hpp"

using namespace mediaproxy;
using namespace mediaproxy::plugin;
using Catch::Matchers::Contains;

namespace
{

PluginSource source(const std::string& name)
{
    PluginSource wanted;
    wanted.dir = TEST_PLUGIN_DIR;
    wanted.name = name;
    return wanted;
}

} // namespace

TEST_CASE("a plugin that is wrong in one way is refused with a sentence and the daemon runs on")
{
    struct Case {
        const char* name;
        const char* sentence;
    };
    const auto [name, sentence] = GENERATE(values<Case>({
        {"wrong_major", "is made for plugin ABI 2.0, this daemon has 1.0"},
        {"no_symbol", "has no symbol mediaproxy_plugin"},
        {"short_struct", "its mediaproxy_plugin is too short: 40 bytes"},
        {"wrong_name", "calls itself other, not wrong_name"},
        {"incomplete", "its mediaproxy_plugin is incomplete"},
        {"null_interface", "does not offer mp.accounting/1"},
        {"short_vtable", "its mp.accounting/1 is too short: 24 bytes"},
        {"missing_function", "its mp.accounting/1 lacks the function write"},
        {"failing_create", "accounting.failing_create: the moon is in the wrong phase"},
        {"odd_status", "accounting.odd_status: the moon is in the wrong phase"},
        {"throws_in_create", "threw a C++ exception: thrown in create"},
        {"throws_in_interface", "threw an exception"},
        {"not_elf", "invalid ELF header"},
        {"absent", "accounting_absent.so: no such file"},
        {"../plugins/good", "a name has lower-case letters, digits, _ and -"},
        {"", "a name has lower-case letters, digits, _ and -"},
    }));
    CAPTURE(name);
    asio::io_context io;
    const auto refused = AccountingBackend::load(io, source(name));
    REQUIRE_FALSE(refused);
    CHECK_THAT(refused.error().message, Contains(sentence));

    auto good = AccountingBackend::load(io, source("good"));
    REQUIRE(good);
    CHECK((*good)->open().ok());
}

TEST_CASE("a plugin of a newer minor version with longer structs is welcome")
{
    asio::io_context io;
    CHECK(AccountingBackend::load(io, source("newer_minor")));
}

TEST_CASE("a failing create keeps its kind of failure")
{
    asio::io_context io;
    const auto refused = AccountingBackend::load(io, source("failing_create"));
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Error::Code::denied);
}

TEST_CASE("an exception from a running plugin is a failure of that call")
{
    asio::io_context io;
    auto backend = AccountingBackend::load(io, source("throws_later"));
    REQUIRE(backend);
    CHECK((*backend)->open().message == "threw a C++ exception: thrown in open");
    const mp_session_record record{};
    const mp_session_record* const records[] = {&record};
    std::uint32_t done = 7;
    CHECK((*backend)->write(records, done).status == MP_E_FAILED);
    CHECK(done == 0);
    (*backend)->cancel();
}

TEST_CASE("a plugin may have several instances at once")
{
    asio::io_context io;
    auto first = AccountingBackend::load(io, source("good"));
    auto second = AccountingBackend::load(io, source("good"));
    REQUIRE(first);
    REQUIRE(second);
    first->reset();
    CHECK((*second)->open().ok());
}

TEST_CASE("the check of a configuration finds a wrong key without running the plugin")
{
    PluginSource wanted = source("failing_create");
    CHECK(check(Kind::accounting, wanted));
    wanted.settings = {{"color", "red", "a.toml:3"}};
    const auto refused = check(Kind::accounting, wanted);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().message ==
          "a.toml:3: accounting.failing_create.color: unknown setting, did you mean colour?");
}

TEST_CASE("the list of plugins names each file and why it would be refused")
{
    const auto listings = list_plugins(TEST_PLUGIN_DIR);
    REQUIRE(listings);
    const auto find = [&](const std::string& file) {
        for (const Listing& listing : *listings) {
            if (listing.file == file)
                return listing;
        }
        return Listing{};
    };
    const Listing good = find("accounting_good.so");
    CHECK(good.kind == "accounting");
    CHECK(good.name == "good");
    CHECK(good.version == "0.1");
    CHECK(good.description == "a plugin of the tests");
    CHECK(good.refused.empty());
    CHECK_THAT(find("accounting_wrong_major.so").refused, Contains("plugin ABI 2.0"));
    CHECK_THAT(find("accounting_null_interface.so").refused, Contains("does not offer"));
    CHECK_THAT(find("unheard_of.so").refused, Contains("neither accounting_ nor forwarding_"));
    CHECK_FALSE(list_plugins("/nowhere/at/all"));
}

TEST_CASE("a plugin folder may be named relative to the working directory")
{
    const auto here = std::filesystem::current_path();
    std::filesystem::current_path(TEST_PLUGIN_DIR);
    const auto library = Library::open(".", Kind::accounting, "good");
    std::filesystem::current_path(here);
    CHECK(library);
}
