// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "dispatcher/record_sink.hpp"
#include "dispatcher/relay_peer.hpp"
#include "fakes/state_store.hpp"

/// Records as they were put; `durable` is called at once, or kept for the test to call.
struct FakeSink : mediaproxy::dispatcher::RecordSink {
    bool put(mediaproxy::protocol::SessionReport&& record, std::function<void()> durable) override
    {
        if (is_full)
            return false;
        records.push_back(std::move(record));
        if (durable && at_once)
            durable();
        else if (durable)
            waiting.push_back(std::move(durable));
        return true;
    }
    void when_durable(std::function<void()> durable) override
    {
        if (at_once)
            durable();
        else
            waiting.push_back(std::move(durable));
    }
    bool is_late() const override { return !state.alarm.empty(); }
    mediaproxy::accounting::Figures figures() const override { return state; }

    std::vector<mediaproxy::protocol::SessionReport> records;
    std::vector<std::function<void()>> waiting;
    bool at_once = true, is_full = false;
    mediaproxy::accounting::Figures state;
};

/// A relay in the same process that answers as the test says, at once or when it is told to.
struct FakePeer : mediaproxy::dispatcher::RelayPeer {
    explicit FakePeer(std::string called) : name_(std::move(called)) {}

    const std::string& name() const noexcept override { return name_; }
    const mediaproxy::net::Address& address() const noexcept override { return address_; }
    bool is_called(std::string_view media_relay) const noexcept override
    {
        return media_relay == name_;
    }
    bool serves(mediaproxy::net::Family family) const noexcept override
    {
        return family == mediaproxy::net::Family::v4 || serves_v6;
    }
    bool is_ours() const noexcept override { return ours; }
    State state() const noexcept override { return state_; }
    std::size_t session_count() const noexcept override { return load; }

    void update(const mediaproxy::protocol::Request& request,
                const mediaproxy::protocol::Update& update, PortsHandler done) override
    {
        updates.emplace_back(update.call_id);
        last_headers.clear();
        for (const auto& header : request.headers)
            last_headers.emplace_back(header.name, header.value);
        if (hold_updates)
            held.push_back(std::move(done));
        else
            done(next_ports(update));
    }
    void remove(const mediaproxy::protocol::Remove& remove, ReportHandler done) override
    {
        removes.emplace_back(remove.call_id);
        std::erase_if(listed, [&](const auto& entry) { return entry.call_id == remove.call_id; });
        if (hold_removes)
            held_removes.push_back(std::move(done));
        else if (remove_error)
            done(*remove_error);
        else
            done(report(std::string(remove.call_id), std::string(remove.from_tag)));
    }
    void sessions(ReportsHandler done) override
    {
        ++lists;
        if (list_error)
            done(*list_error);
        else
            done(listed);
    }
    void summary(TextHandler done) override
    {
        if (hold_summary)
            held_summaries.push_back(std::move(done));
        else
            done(std::string("{\"ip\": \"") + name_ + "\", \"status\": \"active\"}");
    }
    bool keeps_records() const noexcept override { return keeps; }
    void unsent_letters(CountHandler done) override { done(unsent); }
    void acknowledge(const std::vector<std::string>& record_ids, AcknowledgedHandler done) override
    {
        ++acknowledgements;
        acknowledged.insert(acknowledged.end(), record_ids.begin(), record_ids.end());
        done(true);
    }

    mediaproxy::Result<mediaproxy::protocol::Ports>
    next_ports(const mediaproxy::protocol::Update& update)
    {
        if (update_error)
            return *update_error;
        mediaproxy::protocol::Ports ports{answer_address, {}};
        for (std::size_t i = 0; i < update.media.size() && i < most_ports; ++i)
            ports.rtp.push_back(static_cast<mediaproxy::net::Port>(next_port += 2));
        return ports;
    }
    static mediaproxy::protocol::SessionReport report(std::string call_id, std::string from_tag)
    {
        mediaproxy::protocol::SessionReport report;
        report.call_id = std::move(call_id);
        report.from_tag = std::move(from_tag);
        report.start_time = 1000.5;
        report.duration = 7;
        report.streams.emplace_back();
        report.streams.back().status = "closed";
        return report;
    }

    std::string name_;
    mediaproxy::net::Address address_ = mediaproxy::net::Address::v4({192, 0, 2, 1});
    mediaproxy::net::Address answer_address = mediaproxy::net::Address::v4({192, 0, 2, 1});
    State state_ = State::active;
    bool ours = true, serves_v6 = false, keeps = false;
    bool hold_updates = false, hold_removes = false, hold_summary = false;
    std::size_t load = 0, most_ports = 32, unsent = 0;
    int next_port = 40000, lists = 0, acknowledgements = 0;
    std::optional<mediaproxy::Error> update_error, remove_error, list_error;
    std::vector<std::string> updates, removes, acknowledged;
    std::vector<std::pair<std::string, std::string>> last_headers;
    std::vector<PortsHandler> held;
    std::vector<ReportHandler> held_removes;
    std::vector<TextHandler> held_summaries;
    std::vector<mediaproxy::protocol::SessionReport> listed;
};
