// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include <libnftnl/rule.h>

#include "elements.hpp"

namespace forwarding_nftables
{

/// What one foreign rule does to a packet that our rule has rewritten.
struct RuleEffect {
    enum class Applies { always, never, cannot_tell };
    enum class Does { nothing, accept, drop, jump, go_to, leave };

    Applies applies = Applies::always;
    Does does = Does::nothing;
    std::string target; ///< of jump and go_to
};

RuleEffect read_rule(const nftnl_rule& rule, Family family);

} // namespace forwarding_nftables
