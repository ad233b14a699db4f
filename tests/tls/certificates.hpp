// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <string>

#include "tls/context.hpp"

/// A folder of certificates made by tls/make-certs, gone with the object.
class Certificates
{
public:
    Certificates();
    ~Certificates();
    Certificates(const Certificates&) = delete;
    Certificates& operator=(const Certificates&) = delete;

    /// Runs make-certs once more in this folder.
    void make(const std::string& options) const;
    const std::string& folder() const { return folder_; }
    /// The context of NAME.crt; fails the test when it cannot be loaded.
    std::shared_ptr<mediaproxy::tls::Context>
    context(std::string_view name,
            mediaproxy::Seconds verify_interval = mediaproxy::Seconds{300}) const;

private:
    std::string folder_;
};
