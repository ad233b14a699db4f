// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/call_store.hpp"

#include <algorithm>
#include <fmt/format.h>
#include <vector>

#include "base/log.hpp"
#include "base/text.hpp"

namespace mediaproxy::relay
{

namespace
{

constexpr std::string_view calls_table = "relay-calls";
constexpr std::string_view run_table = "relay-run";
constexpr std::string_view age_key = "age";
constexpr std::string_view self_table = "relay-self";
constexpr std::string_view instance_key = "instance";
constexpr std::string_view forwarding_key = "forwarding";

/// Takes a number and the blank behind it off the text.
std::optional<std::uint64_t> take_number(std::string_view& text)
{
    const std::size_t blank = text.find(' ');
    if (blank == std::string_view::npos)
        return std::nullopt;
    const auto number = text::parse_number<std::uint64_t>(text.substr(0, blank));
    text.remove_prefix(blank + 1);
    return number;
}

} // namespace

std::string encode(const SavedCall& call)
{
    return fmt::format("{} {} {} {}{}", call.running ? 1 : 0, call.age.count(), call.owner.size(),
                       call.owner, call.json);
}

std::optional<SavedCall> decode_saved_call(std::string_view text)
{
    const auto running = take_number(text), age = take_number(text), size = take_number(text);
    if (!running || !age || !size || *running > 1 || *age > INT32_MAX || *size > text.size())
        return std::nullopt;
    return SavedCall{*running == 1, Seconds(static_cast<std::int64_t>(*age)), text.substr(0, *size),
                     text.substr(*size)};
}

protocol::SessionReport make_lost(protocol::SessionReport report, Seconds unseen)
{
    const std::int64_t seconds = std::max<std::int64_t>(0, unseen.count());
    report.lost = true;
    report.duration += seconds;
    for (protocol::StreamReport& stream : report.streams) {
        if (stream.status == "active" || stream.status == "on hold")
            stream.end_time += seconds;
    }
    report.all_streams_ice = protocol::streams_left_by_ice(report);
    return report;
}

void CallStore::save_call(std::string_view owner, const protocol::SessionReport& report,
                          Seconds age)
{
    if (store_)
        store_->save(calls_table, report.record_id,
                     encode({true, age, owner, protocol::to_json(report)}));
}

void CallStore::save_age(Seconds age)
{
    if (store_)
        store_->save(run_table, age_key, std::to_string(age.count()));
}

void CallStore::save_letter(std::string_view record_id, std::string_view owner,
                            std::string_view json)
{
    if (store_)
        store_->save(calls_table, record_id, encode({false, Seconds{0}, owner, json}));
}

void CallStore::erase(std::string_view record_id)
{
    if (store_)
        store_->erase(calls_table, record_id);
}

std::string CallStore::instance(std::string fresh)
{
    if (!store_)
        return fresh;
    std::string kept = told(instance_key);
    if (!kept.empty())
        return kept;
    store_->save(self_table, instance_key, fresh);
    return fresh;
}

void CallStore::save_forwarding(std::string_view plugin)
{
    if (!store_)
        return;
    if (plugin.empty())
        store_->erase(self_table, forwarding_key);
    else
        store_->save(self_table, forwarding_key, std::string(plugin));
}

std::string CallStore::forwarding() const
{
    return store_ ? told(forwarding_key) : std::string();
}

/// What an earlier run said of itself.
std::string CallStore::told(std::string_view wanted) const
{
    std::string found;
    const auto loaded =
        store_->load_all(self_table, [&](std::string_view key, std::string_view value) {
            if (key == wanted)
                found = value;
        });
    if (!loaded)
        log::error("relay: what it said of itself before cannot be read: {}",
                   loaded.error().message);
    return found;
}

void CallStore::load(const EachLetter& each)
{
    if (!store_)
        return;
    Seconds last_age{0};
    const auto found_age = [&](std::string_view key, std::string_view value) {
        const auto age = text::parse_number<std::uint32_t>(value);
        if (key == age_key && age)
            last_age = Seconds(*age);
    };
    std::vector<std::pair<std::string, std::string>> saved;
    const auto found_call = [&](std::string_view key, std::string_view value) {
        saved.emplace_back(key, value);
    };
    Result<void> loaded = store_->load_all(run_table, found_age);
    if (loaded)
        loaded = store_->load_all(calls_table, found_call);
    if (!loaded) {
        log::error("relay: the calls of the earlier run cannot be read: {}",
                   loaded.error().message);
        return;
    }
    std::size_t lost = 0, letters = 0, damaged = 0;
    for (auto& [record_id, value] : saved) {
        const auto call = decode_saved_call(value);
        auto report = call && call->running
                          ? protocol::parse_report(call->json)
                          : Result<protocol::SessionReport>(protocol::SessionReport{});
        if (!call || !report) {
            ++damaged;
            erase(record_id);
            continue;
        }
        ++(call->running ? lost : letters);
        std::string json =
            call->running ? protocol::to_json(make_lost(*std::move(report), last_age - call->age))
                          : std::string(call->json);
        each(std::move(record_id), call->owner, std::move(json));
    }
    // Behind the letters: with an age of this run, those of the copies would mean something else.
    save_age(Seconds{0});
    if (lost > 0)
        log::warning("relay: the earlier run was killed; {} calls that it had are reported as lost",
                     lost);
    if (letters > 0)
        log::info("relay: {} reports of ended sessions wait for their dispatchers", letters);
    if (damaged > 0)
        log::warning("relay: {} saved calls cannot be read and are passed over", damaged);
}

} // namespace mediaproxy::relay
