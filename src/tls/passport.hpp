// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace mediaproxy::tls
{

/// What a peer certificate's subject must say, as in MediaProxy: `O:AG Projects, CN:*relay`. `*` is
/// allowed at the beginning or the end of a value, `\,` is a comma in it. The default accepts every
/// certificate that the CA signed.
class Passport
{
public:
    Passport() = default;
    /// `None` and the empty text = no check.
    static Result<Passport> parse(std::string_view text);
    struct Attribute {
        std::string name; ///< O, OU, CN, C, L, ST or EMAIL
        std::string value;
        friend bool operator==(const Attribute&, const Attribute&) = default;
    };
    /// The error says which attribute differs.
    Result<void> accept(const std::vector<Attribute>& subject) const;
    std::string to_string() const;
    friend bool operator==(const Passport&, const Passport&) = default;

private:
    std::vector<Attribute> wanted_;
};

} // namespace mediaproxy::tls
