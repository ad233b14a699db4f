// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include "session/session.hpp"

namespace mediaproxy::session
{

/// An update as its session understands it.
struct Session::Message {
    const protocol::Update& update;
    MessageKey key;
    net::Family family = net::Family::none; ///< of its media
    /// Where the parties' SIP messages come from, as far as this one says.
    PerParty<net::Address> signaling;

    Party speaker() const noexcept { return key.speaker; }
    const protocol::MediaLines& media() const noexcept { return update.media; }
    /// The callee's tag; no_tag when the message is outside a dialog.
    TagId dialog() const noexcept { return key.from == caller_tag ? key.to : key.from; }
};

} // namespace mediaproxy::session
