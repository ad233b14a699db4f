// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"

namespace mediaproxy::conformance
{

/// A name that a shared object shows to others.
struct ExportedSymbol {
    std::string name;
    bool weak; ///< as the compiler's copies of templates are
};

/// Read from the file's table of dynamic symbols, without those that linkers add by themselves.
Result<std::vector<ExportedSymbol>> list_exported_symbols(const std::string& file);

} // namespace mediaproxy::conformance
