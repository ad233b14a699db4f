// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string>
#include <vector>

#include "tls/passport.hpp"

namespace mediaproxy::tls
{

/// Frees any OpenSSL handle: `std::unique_ptr<SSL, Free<SSL_free>>`.
template <auto function>
struct Free {
    template <class T>
    void operator()(T* handle) const noexcept
    {
        function(handle);
    }
};
using CertificatePtr = std::unique_ptr<X509, Free<X509_free>>;

/// The attributes of a certificate's subject that a passport may name, in their order, as UTF-8.
std::vector<Passport::Attribute> subject_of(X509* certificate);
/// The subject's CN, else the whole subject in one line: for messages.
std::string display_name(X509* certificate);
/// The oldest error in OpenSSL's queue as text, and empties the queue; "unknown error" when empty.
std::string openssl_reason();

} // namespace mediaproxy::tls
