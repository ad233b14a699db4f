// SPDX-License-Identifier: GPL-2.0-or-later
#include "relay/call_store.hpp"

#include <algorithm>
#include <array>
#include <fmt/format.h>
#include <iterator>
#include <utility>
#include <vector>

#include "base/log.hpp"
#include "base/text.hpp"

namespace mediaproxy::relay
{

namespace
{

constexpr std::string_view calls_table = "relay-calls";
constexpr std::string_view traffic_table = "relay-traffic";
constexpr std::string_view ended_key = "ended"; ///< the others are the numbers of stretches
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

using Counts = std::array<protocol::Traffic*, 4>;

Counts counts_of(session::StreamTraffic& stream)
{
    return {&stream.rtp.caller, &stream.rtp.callee, &stream.rtcp.caller, &stream.rtcp.callee};
}

Counts counts_of(protocol::StreamReport& stream)
{
    return {&stream.rtp_from_caller, &stream.rtp_from_callee, &stream.rtcp_from_caller,
            &stream.rtcp_from_callee};
}

void advance(const Counts& counts, const Counts& now)
{
    for (std::size_t i = 0; i < counts.size(); ++i)
        *counts[i] = {std::max(counts[i]->packets, now[i]->packets),
                      std::max(counts[i]->bytes, now[i]->bytes)};
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

void append_traffic(std::string& text, const session::SessionTraffic& traffic)
{
    text += traffic.record_id;
    for (session::StreamTraffic stream : traffic.streams) {
        for (const session::Traffic* const one : counts_of(stream))
            fmt::format_to(std::back_inserter(text), " {} {}", one->packets, one->bytes);
    }
    text += '\n';
}

void read_traffic(std::string_view text, TrafficByCall& found)
{
    for (; !text.empty(); text.remove_prefix(std::min(text.size(), text.find('\n') + 1))) {
        std::string line(text.substr(0, text.find('\n')));
        if (line.size() == text.size())
            return; // no end of the line
        line += ' ';
        const std::size_t blank = line.find(' ');
        std::string_view numbers = std::string_view(line).substr(blank + 1);
        std::vector<session::StreamTraffic> streams;
        bool is_whole = blank > 0;
        while (is_whole && !numbers.empty()) {
            for (session::Traffic* const one : counts_of(streams.emplace_back())) {
                const auto packets = take_number(numbers), bytes = take_number(numbers);
                is_whole = is_whole && packets && bytes;
                *one = {packets.value_or(0), bytes.value_or(0)};
            }
        }
        if (!is_whole)
            continue;
        // A call that has ended may be told of twice: the later line tells more.
        auto& present = found[line.substr(0, blank)];
        present.resize(std::max(present.size(), streams.size()));
        for (std::size_t i = 0; i < streams.size(); ++i)
            advance(counts_of(present[i]), counts_of(streams[i]));
    }
}

void add_later(protocol::SessionReport& report, std::vector<session::StreamTraffic> later)
{
    for (std::size_t i = 0; i < std::min(report.streams.size(), later.size()); ++i)
        advance(counts_of(report.streams[i]), counts_of(later[i]));
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

void CallStore::save_traffic(std::size_t stretch, std::string text)
{
    if (!store_)
        return;
    save_ended(); // in the same turn: none of them is missing meanwhile
    if (text.empty())
        store_->erase(traffic_table, std::to_string(stretch));
    else
        store_->save(traffic_table, std::to_string(stretch), std::move(text));
}

void CallStore::end_traffic(const session::SessionTraffic& traffic)
{
    if (!store_ || ended_.size() >= most_ended)
        return;
    append_traffic(ended_[traffic.record_id], traffic);
    ended_changed_ = true;
}

void CallStore::save_ended()
{
    if (!std::exchange(ended_changed_, false))
        return;
    std::string text;
    for (const auto& [record_id, line] : ended_)
        text += line;
    if (text.empty())
        store_->erase(traffic_table, ended_key);
    else
        store_->save(traffic_table, ended_key, std::move(text));
}

void CallStore::forget_ended(std::string_view record_id)
{
    const auto found = ended_.find(record_id);
    if (found == ended_.end())
        return;
    ended_.erase(found);
    ended_changed_ = true;
}

void CallStore::save_age(Seconds age)
{
    if (store_)
        store_->save(run_table, age_key, std::to_string(age.count()));
}

void CallStore::save_letter(std::string_view record_id, std::string_view owner,
                            std::string_view json)
{
    if (!store_)
        return;
    store_->save(calls_table, record_id, encode({false, Seconds{0}, owner, json}));
    forget_ended(record_id);
}

void CallStore::erase(std::string_view record_id)
{
    if (!store_)
        return;
    store_->erase(calls_table, record_id);
    forget_ended(record_id);
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

/// What an earlier run left.
struct CallStore::Saved {
    Seconds last_age{0};
    std::vector<std::pair<std::string, std::string>> calls; ///< by record_id
    TrafficByCall traffic;
    std::vector<std::string> stretches;
};

Result<CallStore::Saved> CallStore::read() const
{
    Saved saved;
    const auto found_age = [&](std::string_view key, std::string_view value) {
        const auto age = text::parse_number<std::uint32_t>(value);
        if (key == age_key && age)
            saved.last_age = Seconds(*age);
    };
    const auto found_call = [&](std::string_view key, std::string_view value) {
        saved.calls.emplace_back(key, value);
    };
    const auto found_traffic = [&](std::string_view key, std::string_view value) {
        saved.stretches.emplace_back(key);
        read_traffic(value, saved.traffic);
    };
    Result<void> loaded = store_->load_all(run_table, found_age);
    if (loaded)
        loaded = store_->load_all(calls_table, found_call);
    if (!loaded)
        return loaded.error();
    if (const auto counted = store_->load_all(traffic_table, found_traffic); !counted)
        log::error("relay: what the calls of the earlier run received in the end cannot be read: "
                   "{}",
                   counted.error().message);
    return saved;
}

void CallStore::load(const EachLetter& each)
{
    if (!store_)
        return;
    auto saved = read();
    if (!saved) {
        log::error("relay: the calls of the earlier run cannot be read: {}", saved.error().message);
        return;
    }
    std::size_t lost = 0, letters = 0, damaged = 0;
    for (auto& [record_id, value] : saved->calls) {
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
        const auto later = saved->traffic.find(record_id);
        if (call->running && later != saved->traffic.end())
            add_later(*report, later->second);
        std::string json =
            call->running
                ? protocol::to_json(make_lost(*std::move(report), saved->last_age - call->age))
                : std::string(call->json);
        each(std::move(record_id), call->owner, std::move(json));
    }
    // Behind the letters: with an age of this run, those of the copies would mean something else.
    save_age(Seconds{0});
    for (const std::string& stretch : saved->stretches)
        store_->erase(traffic_table, stretch);
    if (lost > 0)
        log::warning("relay: the earlier run was killed; {} calls that it had are reported as lost",
                     lost);
    if (letters > 0)
        log::info("relay: {} reports of ended sessions wait for their dispatchers", letters);
    if (damaged > 0)
        log::warning("relay: {} saved calls cannot be read and are passed over", damaged);
}

} // namespace mediaproxy::relay
