// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "tls/options.hpp"

struct ssl_ctx_st;
struct ssl_st;

namespace mediaproxy::tls
{

/// Our certificate, its key, the CA and its CRL, read from the certificate folder: TLS 1.2 or
/// later, the peer must show a certificate that the CA signed and the CRL does not name. Files are
/// read again when they change; connections that are open keep the old ones. [core thread]
class Context
{
public:
    /// `name` is "dispatcher" or "relay". The error names the file and what is wrong with it.
    static Result<std::shared_ptr<Context>> load(const Options& options, std::string_view name);
    ~Context();

    /// The present SSL_CTX (looks whether the files changed, at most once a second). Files that are
    /// bad now are logged once and the old ones stay.
    ssl_ctx_st* current();
    /// Is the certificate that the peer of this connection showed still good by the present files:
    /// not expired, not revoked, signed by the CA.
    Result<void> verify(ssl_st* connection);
    Seconds verify_interval() const noexcept;

private:
    Context();
    struct State;
    std::unique_ptr<State> state_;
};

} // namespace mediaproxy::tls
