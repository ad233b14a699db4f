// SPDX-License-Identifier: GPL-2.0-or-later
#include "dispatcher/refusals.hpp"

#include <functional>

#include "dispatcher/session_directory.hpp"

namespace mediaproxy::dispatcher
{

namespace
{

std::uint64_t mix(std::uint64_t a, std::uint64_t b) noexcept
{
    a ^= b + 0x9e3779b97f4a7c15U + (a << 12) + (a >> 4);
    a ^= a >> 32;
    return a * 0xd6e8feb86659fd93U;
}

std::uint64_t make_key(std::string_view call_id, std::string_view tag) noexcept
{
    const std::hash<std::string_view> hash;
    return mix(hash(call_id), hash(tag));
}

} // namespace

void Refusals::on_refused(std::string_view call_id, std::string_view from_tag, std::uint32_t cseq,
                          TimePoint now)
{
    refused_.put(mix(make_key(call_id, from_tag), cseq), Outcome::refused, now);
}

void Refusals::on_accepted(std::string_view call_id, std::string_view from_tag, std::uint32_t cseq,
                           TimePoint now)
{
    if (refused_.size() == 0)
        return;
    const std::uint64_t key = mix(make_key(call_id, from_tag), cseq);
    if (refused_.find(key, now))
        refused_.put(key, Outcome::accepted, now);
}

void Refusals::on_removed(const Session& session, TimePoint now)
{
    removed_.put(make_key(session.call_id, session.from_tag),
                 {session.caller_cseq, session.callee_cseq}, now);
}

bool Refusals::answers_refused(const protocol::Update& reply, TimePoint now)
{
    if (refused_.size() == 0)
        return false;
    const Outcome* const outcome =
        refused_.find(mix(make_key(reply.call_id, reply.from_tag), reply.cseq), now);
    return outcome && *outcome == Outcome::refused;
}

bool Refusals::answers_removed(const protocol::Update& reply, TimePoint now)
{
    if (removed_.size() == 0)
        return false;
    if (const Highest* const caller = removed_.find(make_key(reply.call_id, reply.from_tag), now))
        return reply.cseq <= caller->caller_cseq;
    const Highest* const callee = removed_.find(make_key(reply.call_id, reply.to_tag), now);
    return callee && reply.cseq <= callee->callee_cseq;
}

void Refusals::age(TimePoint now)
{
    refused_.age(now);
    removed_.age(now);
}

} // namespace mediaproxy::dispatcher
