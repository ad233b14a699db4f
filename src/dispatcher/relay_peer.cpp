// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/relay_peer.hpp"

namespace mediaproxy::dispatcher
{

void RelayPeer::session_page(std::uint64_t after, std::size_t most, PageHandler done)
{
    (void)after, (void)most; // all of them are one page
    sessions([done = std::move(done)](Result<std::vector<protocol::SessionReport>> reports) {
        if (!reports)
            return done(std::move(reports).error());
        Page page;
        for (const protocol::SessionReport& report : *reports) {
            page.sessions += page.sessions.empty() ? "[" : ", ";
            protocol::append_json(page.sessions, report);
        }
        page.sessions += page.sessions.empty() ? "[]" : "]";
        done(std::move(page));
    });
}

} // namespace mediaproxy::dispatcher
