// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "base/time.hpp"

namespace mediaproxy::tls
{

struct Options {
    std::string certs_path = "tls"; ///< folder of ca.pem, crl.pem, NAME.crt, NAME.key
    Seconds verify_interval{300};
};

} // namespace mediaproxy::tls
