// SPDX-License-Identifier: GPL-2.0-or-later
#include "tls/certificate.hpp"

#include <cstring>
#include <openssl/err.h>
#include <openssl/x509v3.h>

namespace mediaproxy::tls
{

namespace
{

const char* passport_name(int nid) noexcept
{
    switch (nid) {
    case NID_organizationName:
        return "O";
    case NID_organizationalUnitName:
        return "OU";
    case NID_commonName:
        return "CN";
    case NID_countryName:
        return "C";
    case NID_localityName:
        return "L";
    case NID_stateOrProvinceName:
        return "ST";
    case NID_pkcs9_emailAddress:
        return "EMAIL";
    default:
        return nullptr;
    }
}

std::string to_utf8(const ASN1_STRING* text)
{
    unsigned char* bytes = nullptr;
    const int size = ASN1_STRING_to_UTF8(&bytes, text);
    if (size < 0)
        return {};
    std::string result(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
    OPENSSL_free(bytes);
    return result;
}

} // namespace

std::vector<Passport::Attribute> subject_of(X509* certificate)
{
    std::vector<Passport::Attribute> attributes;
    X509_NAME* subject = X509_get_subject_name(certificate);
    for (int i = 0; i < X509_NAME_entry_count(subject); ++i) {
        const X509_NAME_ENTRY* entry = X509_NAME_get_entry(subject, i);
        const char* name = passport_name(OBJ_obj2nid(X509_NAME_ENTRY_get_object(entry)));
        if (name != nullptr)
            attributes.push_back({name, to_utf8(X509_NAME_ENTRY_get_data(entry))});
    }
    return attributes;
}

std::string display_name(X509* certificate)
{
    std::string all;
    for (const Passport::Attribute& attribute : subject_of(certificate)) {
        if (attribute.name == "CN")
            return attribute.value;
        all += (all.empty() ? "" : ", ") + attribute.name + ":" + attribute.value;
    }
    return all;
}

std::string openssl_reason()
{
    const unsigned long code = ERR_get_error();
    // OpenSSL has no texts for what the system refused, such as a file that is not there.
    const char* reason = code == 0                ? nullptr
                         : ERR_SYSTEM_ERROR(code) ? std::strerror(ERR_GET_REASON(code))
                                                  : ERR_reason_error_string(code);
    std::string result = reason != nullptr ? reason : "unknown error";
    ERR_clear_error();
    return result;
}

} // namespace mediaproxy::tls
