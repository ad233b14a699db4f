// SPDX-License-Identifier: GPL-2.0-or-later
#include "tls/engine.hpp"

#include <array>
#include <catch2/catch.hpp>
#include <openssl/bio.h>
#include <openssl/buffer.h>
#include <string>

#include "tls/certificates.hpp"

using namespace mediaproxy;
using tls::Engine;

namespace
{

void carry(Engine& from, Engine& to)
{
    to.feed(from.output());
    from.output_taken();
}

std::string read_all(Engine& engine)
{
    std::string all;
    std::array<char, 16384> buffer;
    for (;;) {
        const auto size = engine.read(buffer);
        REQUIRE(size);
        if (*size == 0)
            return all;
        all.append(buffer.data(), *size);
    }
}

} // namespace

TEST_CASE("much that is written piece by piece arrives, and the engine does not stay big")
{
    const Certificates certificates;
    const auto ours = certificates.context("relay"), theirs = certificates.context("dispatcher");
    auto client = Engine::create(*ours, Engine::Side::client);
    auto server = Engine::create(*theirs, Engine::Side::server);
    REQUIRE(client);
    REQUIRE(server);
    for (bool done = false; !done;) {
        const auto client_done = client->handshake();
        carry(*client, *server);
        const auto server_done = server->handshake();
        carry(*server, *client);
        REQUIRE(client_done);
        REQUIRE(server_done);
        done = *client_done && *server_done;
    }

    std::string sent, received;
    for (std::size_t i = 0; i < 400000; ++i)
        sent.append(std::to_string(i)).append(" ");
    for (std::string_view rest = sent; !rest.empty();) {
        const auto size = client->write(rest);
        REQUIRE(size);
        CHECK(*size <= Engine::most_written);
        rest.remove_prefix(*size);
        carry(*client, *server);
        CHECK(client->output().empty());
        received += read_all(*server);
    }
    CHECK((received == sent)); // not 2.7 MB in the log

    BUF_MEM* memory = nullptr;
    BIO_get_mem_ptr(SSL_get_wbio(client->connection()), &memory);
    REQUIRE(memory);
    CHECK(memory->max < 2 * Engine::most_written);
}
