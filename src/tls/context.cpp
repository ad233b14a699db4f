// SPDX-License-Identifier: GPL-2.0-or-later
#include "tls/context.hpp"

#include <array>
#include <fmt/format.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "base/log.hpp"
#include "tls/certificate.hpp"

namespace mediaproxy::tls
{

namespace
{

using SslCtxPtr = std::unique_ptr<SSL_CTX, Free<SSL_CTX_free>>;
using BioPtr = std::unique_ptr<BIO, Free<BIO_free_all>>;
using StoreCtxPtr = std::unique_ptr<X509_STORE_CTX, Free<X509_STORE_CTX_free>>;

void free_infos(STACK_OF(X509_INFO) * infos)
{
    sk_X509_INFO_pop_free(infos, X509_INFO_free);
}
using InfosPtr = std::unique_ptr<STACK_OF(X509_INFO), Free<free_infos>>;

/// What tells one version of a file from the next.
struct Stamp {
    std::int64_t seconds = 0, nanoseconds = 0, size = -1;
    std::uint64_t inode = 0;
    friend bool operator==(const Stamp&, const Stamp&) = default;
};

Stamp stamp_of(const std::string& path)
{
    struct stat status {
    };
    if (::stat(path.c_str(), &status) != 0)
        return {};
    return {status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_size, status.st_ino};
}

struct Paths {
    std::string authority, revoked, certificate, key;
    std::array<Stamp, 4> stamps() const
    {
        return {stamp_of(authority), stamp_of(revoked), stamp_of(certificate), stamp_of(key)};
    }
};

Error bad_file(const std::string& path, std::string why)
{
    return Error{Error::Code::invalid, fmt::format("{}: {}", path, why)};
}

Result<InfosPtr> read_infos(const std::string& path)
{
    const BioPtr file(BIO_new_file(path.c_str(), "r"));
    if (!file)
        return bad_file(path, openssl_reason());
    InfosPtr infos(PEM_X509_INFO_read_bio(file.get(), nullptr, nullptr, nullptr));
    if (!infos)
        return bad_file(path, openssl_reason());
    return infos;
}

Result<void> add_authorities(SSL_CTX* ctx, const std::string& path)
{
    const Result<InfosPtr> infos = read_infos(path);
    if (!infos)
        return infos.error();
    int found = 0;
    for (int i = 0; i < sk_X509_INFO_num(infos->get()); ++i) {
        X509* certificate = sk_X509_INFO_value(infos->get(), i)->x509;
        if (certificate == nullptr)
            continue;
        X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), certificate);
        SSL_CTX_add_client_CA(ctx, certificate);
        ++found;
    }
    if (found == 0)
        return bad_file(path, "no certificate in it");
    return {};
}

/// An outdated CRL still revokes what it names, and so does one of a clock that is ahead of ours:
/// MediaProxy installations live with an old one for years, and refusing every peer on that day, or
/// for the seconds by which clocks differ, would end all calls.
Result<void> add_revocations(SSL_CTX* ctx, const std::string& path)
{
    const Result<InfosPtr> infos = read_infos(path);
    if (!infos)
        return infos.error();
    int found = 0;
    for (int i = 0; i < sk_X509_INFO_num(infos->get()); ++i) {
        X509_CRL* crl = sk_X509_INFO_value(infos->get(), i)->crl;
        if (crl == nullptr)
            continue;
        X509_STORE_add_crl(SSL_CTX_get_cert_store(ctx), crl);
        const ASN1_TIME* next = X509_CRL_get0_nextUpdate(crl);
        if (next != nullptr && X509_cmp_current_time(next) < 0)
            log::warning("{}: the CRL is out of date; what it revokes stays revoked", path);
        if (X509_cmp_current_time(X509_CRL_get0_lastUpdate(crl)) > 0)
            log::warning("{}: the CRL is of a clock that is ahead of ours; it counts all the same",
                         path);
        ++found;
    }
    if (found == 0)
        return bad_file(path, "no CRL in it");
    return {};
}

int accept_crl_of_any_time(int ok, X509_STORE_CTX* ctx)
{
    const int error = X509_STORE_CTX_get_error(ctx);
    if (error != X509_V_ERR_CRL_HAS_EXPIRED && error != X509_V_ERR_CRL_NOT_YET_VALID)
        return ok;
    X509_STORE_CTX_set_error(ctx, X509_V_OK);
    return 1;
}

Result<void> use_own_certificate(SSL_CTX* ctx, const Paths& paths)
{
    if (SSL_CTX_use_certificate_chain_file(ctx, paths.certificate.c_str()) != 1)
        return bad_file(paths.certificate, openssl_reason());
    if (SSL_CTX_use_PrivateKey_file(ctx, paths.key.c_str(), SSL_FILETYPE_PEM) != 1)
        return bad_file(paths.key, openssl_reason());
    if (SSL_CTX_check_private_key(ctx) != 1)
        return bad_file(paths.key, "is not the key of " + paths.certificate);
    return {};
}

/// Sessions are never resumed: each connection shows and verifies certificates anew. Purposes are
/// not looked at, as MediaProxy does not: the private CA and the passport say who is who.
void harden(SSL_CTX* ctx)
{
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_num_tickets(ctx, 0);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(ctx, SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_purpose(ctx, X509_PURPOSE_ANY);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                       accept_crl_of_any_time);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(ctx), X509_V_FLAG_CRL_CHECK);
}

Result<SslCtxPtr> make_context(const Paths& paths)
{
    SslCtxPtr ctx(SSL_CTX_new(TLS_method()));
    if (!ctx)
        return Error{Error::Code::io, "TLS: " + openssl_reason()};
    harden(ctx.get());
    if (Result<void> added = add_authorities(ctx.get(), paths.authority); !added)
        return added.error();
    if (Result<void> added = add_revocations(ctx.get(), paths.revoked); !added)
        return added.error();
    if (Result<void> used = use_own_certificate(ctx.get(), paths); !used)
        return used.error();
    return ctx;
}

} // namespace

struct Context::State {
    Paths paths;
    Seconds verify_interval{300};
    SslCtxPtr ctx;
    std::array<Stamp, 4> stamps;
    TimePoint looked{};

    void look_for_changes()
    {
        const TimePoint now = BootClock::now();
        if (now - looked < Seconds{1})
            return;
        looked = now;
        const auto present = paths.stamps();
        if (present == stamps)
            return;
        stamps = present;
        Result<SslCtxPtr> fresh = make_context(paths);
        if (!fresh) {
            log::error("TLS: {}; the files read before stay in use", fresh.error().message);
            return;
        }
        ctx = std::move(*fresh);
        log::info("TLS: read {} and what belongs to it again", paths.certificate);
    }
};

Context::Context() : state_(std::make_unique<State>())
{
}
Context::~Context() = default;

Result<std::shared_ptr<Context>> Context::load(const Options& options, std::string_view name)
{
    const std::string folder = options.certs_path + "/";
    std::shared_ptr<Context> context(new Context);
    State& state = *context->state_;
    state.paths = {folder + "ca.pem", folder + "crl.pem", fmt::format("{}{}.crt", folder, name),
                   fmt::format("{}{}.key", folder, name)};
    state.verify_interval = options.verify_interval;
    state.stamps = state.paths.stamps();
    state.looked = BootClock::now();
    Result<SslCtxPtr> ctx = make_context(state.paths);
    if (!ctx)
        return ctx.error();
    state.ctx = std::move(*ctx);
    return context;
}

ssl_ctx_st* Context::current()
{
    state_->look_for_changes();
    return state_->ctx.get();
}

Result<void> Context::verify(ssl_st* connection)
{
    SSL_CTX* ctx = current();
    const CertificatePtr certificate(SSL_get1_peer_certificate(connection));
    if (!certificate)
        return Error{Error::Code::denied, "the peer has no certificate"};
    const StoreCtxPtr check(X509_STORE_CTX_new());
    if (!check || X509_STORE_CTX_init(check.get(), SSL_CTX_get_cert_store(ctx), certificate.get(),
                                      SSL_get_peer_cert_chain(connection)) != 1)
        return Error{Error::Code::io, "TLS: " + openssl_reason()};
    X509_STORE_CTX_set_flags(check.get(), X509_V_FLAG_CRL_CHECK);
    X509_STORE_CTX_set_verify_cb(check.get(), accept_crl_of_any_time);
    if (X509_verify_cert(check.get()) == 1)
        return {};
    const int why = X509_STORE_CTX_get_error(check.get());
    return Error{Error::Code::denied,
                 fmt::format("certificate {}: {}", display_name(certificate.get()),
                             X509_verify_cert_error_string(why))};
}

Seconds Context::verify_interval() const noexcept
{
    return state_->verify_interval;
}

} // namespace mediaproxy::tls
