// SPDX-License-Identifier: GPL-2.0-or-later
#include "tls/engine.hpp"

#include <array>
#include <fmt/format.h>
#include <openssl/err.h>

namespace mediaproxy::tls
{

Result<Engine> Engine::create(Context& context, Side side)
{
    Engine engine;
    engine.ssl_.reset(SSL_new(context.current()));
    std::unique_ptr<BIO, Free<BIO_free_all>> in(BIO_new(BIO_s_mem())), out(BIO_new(BIO_s_mem()));
    if (!engine.ssl_ || !in || !out)
        return Error{Error::Code::exhausted, "TLS: " + openssl_reason()};
    BIO_set_mem_eof_return(in.get(), -1);
    engine.in_ = in.release();
    engine.out_ = out.release();
    SSL_set_bio(engine.ssl_.get(), engine.in_, engine.out_);
    side == Side::client ? SSL_set_connect_state(engine.ssl_.get())
                         : SSL_set_accept_state(engine.ssl_.get());
    return engine;
}

void Engine::feed(std::string_view encrypted)
{
    BIO_write(in_, encrypted.data(), static_cast<int>(encrypted.size()));
}

Error Engine::failure(int result) const
{
    const int kind = SSL_get_error(ssl_.get(), result);
    const long verdict = SSL_get_verify_result(ssl_.get());
    if (verdict != X509_V_OK) {
        ERR_clear_error();
        return Error{Error::Code::denied, fmt::format("certificate refused: {}",
                                                      X509_verify_cert_error_string(verdict))};
    }
    if (kind == SSL_ERROR_SSL)
        return Error{Error::Code::denied, "TLS: " + openssl_reason()};
    ERR_clear_error();
    return Error{Error::Code::io, fmt::format("TLS: failed ({})", kind)};
}

Result<bool> Engine::handshake()
{
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl_.get());
    if (result == 1)
        return true;
    const int kind = SSL_get_error(ssl_.get(), result);
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE)
        return false;
    return failure(result);
}

Result<std::size_t> Engine::read(std::span<char> buffer)
{
    ERR_clear_error();
    const int result = SSL_read(ssl_.get(), buffer.data(), static_cast<int>(buffer.size()));
    if (result > 0)
        return static_cast<std::size_t>(result);
    const int kind = SSL_get_error(ssl_.get(), result);
    if (kind == SSL_ERROR_ZERO_RETURN)
        closed_ = true;
    if (kind == SSL_ERROR_WANT_READ || kind == SSL_ERROR_WANT_WRITE || closed_)
        return std::size_t{0};
    return failure(result);
}

Result<std::size_t> Engine::write(std::string_view plain)
{
    ERR_clear_error();
    const std::string_view next = plain.substr(0, most_written);
    const int result = SSL_write(ssl_.get(), next.data(), static_cast<int>(next.size()));
    if (result <= 0)
        return failure(result);
    return static_cast<std::size_t>(result);
}

void Engine::shutdown()
{
    ERR_clear_error();
    if (SSL_is_init_finished(ssl_.get()))
        SSL_shutdown(ssl_.get());
    ERR_clear_error();
}

std::string_view Engine::output() const noexcept
{
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(out_, &bytes);
    return size > 0 ? std::string_view(bytes, static_cast<std::size_t>(size)) : std::string_view();
}

/// BIO_reset() would clear all the memory that the BIO ever had.
void Engine::output_taken()
{
    std::array<char, 4096> taken;
    while (BIO_read(out_, taken.data(), static_cast<int>(taken.size())) > 0)
        continue;
}

std::vector<Passport::Attribute> Engine::peer_subject() const
{
    const CertificatePtr certificate(SSL_get1_peer_certificate(ssl_.get()));
    return certificate ? subject_of(certificate.get()) : std::vector<Passport::Attribute>{};
}

std::string Engine::peer_name() const
{
    const CertificatePtr certificate(SSL_get1_peer_certificate(ssl_.get()));
    return certificate ? display_name(certificate.get()) : std::string();
}

std::string Engine::protocol() const
{
    return fmt::format("{} {}", SSL_get_version(ssl_.get()), SSL_get_cipher_name(ssl_.get()));
}

} // namespace mediaproxy::tls
