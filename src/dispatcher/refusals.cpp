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
    forget(now);
    const Key key = mix(make_key(call_id, from_tag), cseq);
    const TimePoint until = now + keep_refused;
    refused_[key] = until;
    refused_order_.push_back({until, key});
}

void Refusals::on_accepted(std::string_view call_id, std::string_view from_tag, std::uint32_t cseq)
{
    if (!refused_.empty())
        refused_.erase(mix(make_key(call_id, from_tag), cseq));
}

void Refusals::on_removed(const Session& session, TimePoint now)
{
    forget(now);
    const Key key = make_key(session.call_id, session.from_tag);
    const TimePoint until = now + keep_removed;
    removed_[key] = {session.caller_cseq, session.callee_cseq, until};
    removed_order_.push_back({until, key});
}

bool Refusals::answers_refused(const protocol::Update& reply, TimePoint now)
{
    if (refused_.empty())
        return false;
    forget(now);
    return refused_.contains(mix(make_key(reply.call_id, reply.from_tag), reply.cseq));
}

bool Refusals::answers_removed(const protocol::Update& reply, TimePoint now)
{
    if (removed_.empty())
        return false;
    forget(now);
    const auto by_caller = removed_.find(make_key(reply.call_id, reply.from_tag));
    if (by_caller != removed_.end())
        return reply.cseq <= by_caller->second.caller_cseq;
    const auto by_callee = removed_.find(make_key(reply.call_id, reply.to_tag));
    return by_callee != removed_.end() && reply.cseq <= by_callee->second.callee_cseq;
}

void Refusals::forget(TimePoint now)
{
    while (!refused_order_.empty() && refused_order_.front().until <= now) {
        const auto found = refused_.find(refused_order_.front().key);
        if (found != refused_.end() && found->second <= now)
            refused_.erase(found);
        refused_order_.pop_front();
    }
    while (!removed_order_.empty() && removed_order_.front().until <= now) {
        const auto found = removed_.find(removed_order_.front().key);
        if (found != removed_.end() && found->second.until <= now)
            removed_.erase(found);
        removed_order_.pop_front();
    }
}

} // namespace mediaproxy::dispatcher
