// SPDX-License-Identifier: GPL-2.0-or-later
#include "tls/context.hpp"

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

#include "base/log.hpp"
#include "fakes/unprivileged.hpp"
#include "tls/certificates.hpp"

using namespace mediaproxy;

namespace
{

std::string load_error(const std::string& folder, std::string_view name)
{
    const auto loaded = tls::Context::load({folder, Seconds{300}}, name);
    return loaded ? "" : loaded.error().message;
}

std::string content(const std::string& path)
{
    std::ifstream file(path);
    return {std::istreambuf_iterator<char>(file), {}};
}

} // namespace

TEST_CASE("make-certs keeps what exists, hides keys, and its certificates load")
{
    const Certificates certificates;
    for (const char* name : {"dispatcher", "relay"}) {
        struct stat status {
        };
        const std::string key = certificates.folder() + "/" + name + ".key";
        REQUIRE(::stat(key.c_str(), &status) == 0);
        CHECK((status.st_mode & 0777) == 0600);
        CHECK(load_error(certificates.folder(), name).empty());
        const auto written = std::filesystem::last_write_time(key);
        certificates.make("");
        CHECK(std::filesystem::last_write_time(key) == written);
    }
}

TEST_CASE("make-certs --group lets the service's group read the keys of services, not the CA's")
{
    const Certificates certificates;
    const auto access_of = [&](const std::string& name) {
        struct stat status {
        };
        REQUIRE(::stat((certificates.folder() + "/" + name).c_str(), &status) == 0);
        return std::pair(status.st_mode & 0777, status.st_gid);
    };
    const gid_t group = ::geteuid() == 0 ? 65534 : ::getegid();
    certificates.make("--cert new --cert relay --group " + std::to_string(group));
    CHECK(access_of("new.key") == std::pair(0640U, group));
    CHECK(access_of("relay.key") == std::pair(0640U, group));
    CHECK(access_of("dispatcher.key") == std::pair(0600U, ::getegid()));
    CHECK(access_of("ca/ca.key") == std::pair(0600U, ::getegid()));
    certificates.make("--cert relay --force");
    CHECK(access_of("relay.key") == std::pair(0640U, group));
}

TEST_CASE("make-certs --force makes one pair anew and keeps the authority and other pairs")
{
    const Certificates certificates;
    const std::string folder = certificates.folder() + "/";
    certificates.make("--cert relay7");
    const auto all = [&] {
        std::string text;
        for (const char* name : {"ca.pem", "crl.pem", "ca/ca.key", "dispatcher.crt", "relay7.crt"})
            text += content(folder + name);
        return text;
    };
    const std::string before = all(), relay = content(folder + "relay.crt");

    const char* option = GENERATE("--cert", "--self-signed");
    certificates.make("--force " + std::string(option) + " relay");
    CHECK((all() == before));
    CHECK((content(folder + "relay.crt") != relay));
}

TEST_CASE("make-certs --force --revoke revokes, and a --force of everything makes a new authority")
{
    const Certificates certificates;
    const std::string authority = certificates.folder() + "/ca.pem";
    const std::string before = content(authority);
    certificates.make("--force --revoke relay");
    CHECK((content(authority) == before));
    certificates.make("--force");
    CHECK((content(authority) != before));
}

TEST_CASE("a file that cannot be read is named, with the system's reason")
{
    const Certificates certificates;
    for (const char* file : {"ca.pem", "crl.pem", "relay.crt", "relay.key"}) {
        const std::string path = certificates.folder() + "/" + file;
        std::filesystem::permissions(path, std::filesystem::perms::none);
        {
            const fakes::Unprivileged somebody;
            CHECK(load_error(certificates.folder(), "relay") == path + ": Permission denied");
        }
        std::filesystem::permissions(path, std::filesystem::perms(0644));
    }
    for (const char* file : {"relay.key", "relay.crt", "crl.pem", "ca.pem"}) {
        const std::string path = certificates.folder() + "/" + file;
        std::filesystem::remove(path);
        CHECK(load_error(certificates.folder(), "relay") == path + ": No such file or directory");
    }
}

TEST_CASE("a file that is missing or wrong is named")
{
    const Certificates certificates;
    const std::string& folder = certificates.folder();
    CHECK_THAT(load_error(folder, "nobody"), Catch::Contains(folder + "/nobody.crt"));
    CHECK_THAT(load_error(folder + "/none", "relay"), Catch::Contains("/none/ca.pem"));

    std::ofstream(folder + "/crl.pem") << "garbage";
    CHECK_THAT(load_error(folder, "relay"), Catch::Contains("crl.pem: no CRL in it"));
    certificates.make("--force");
    std::filesystem::copy_file(folder + "/dispatcher.key", folder + "/relay.key",
                               std::filesystem::copy_options::overwrite_existing);
    CHECK_THAT(load_error(folder, "relay"), Catch::Contains("relay.key"));
}

TEST_CASE("files that change are read again, and bad ones leave the old in use")
{
    const Certificates certificates;
    const auto context = certificates.context("relay");
    ssl_ctx_st* const first = context->current();

    // The folder is looked at once a second at most.
    const auto wait = [] { std::this_thread::sleep_for(std::chrono::milliseconds(1010)); };
    std::ofstream(certificates.folder() + "/relay.crt") << "garbage";
    std::string logged;
    log::set_sink([&](log::Level, std::string_view line) { logged += line; });
    wait();
    CHECK(context->current() == first);
    CHECK_THAT(logged, Catch::Contains("relay.crt"));

    certificates.make("--force");
    wait();
    CHECK_THAT(logged, !Catch::Contains("again"));
    CHECK(context->current() != nullptr);
    CHECK_THAT(logged, Catch::Contains("again"));
    log::set_sink({});
}
