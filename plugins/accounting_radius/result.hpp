// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <variant>

namespace mediaproxy::accounting_radius
{

/// A sentence that names its subject.
struct Failure {
    std::string sentence;
};

template <class Value>
using Result = std::variant<Value, Failure>;

} // namespace mediaproxy::accounting_radius
