// SPDX-License-Identifier: GPL-2.0-or-later
#include "accounting/accounting.hpp"

#include <utility>

#include "base/log.hpp"

namespace mediaproxy::accounting
{

Accounting::Accounting(store::Store& store, RetryTiming timing) : store_(store), timing_(timing)
{
    const auto counts = store.count();
    if (!counts) {
        log::error("accounting: {}", counts.error().message);
        return;
    }
    for (const store::Store::Count& count : *counts) {
        if (count.waiting > 0)
            log::info("{}: {} records wait in the spool", count.backend, count.waiting);
        if (count.parked > 0)
            log::warning("{}: {} refused records are kept in the spool", count.backend,
                         count.parked);
    }
}

Accounting::~Accounting()
{
    stop(Milliseconds{0});
}

void Accounting::add(asio::io_context& io, const plugin::PluginSource& source)
{
    auto backend = plugin::AccountingBackend::load(io, source);
    if (backend)
        return add(*std::move(backend));
    const std::string instance = plugin::instance_name(plugin::Kind::accounting, source);
    log::error("{}; the records for {} wait in the spool", backend.error().message, instance);
    instances_.push_back(instance);
}

void Accounting::add(std::unique_ptr<plugin::AccountingBackend> backend)
{
    instances_.push_back(backend->instance());
    queues_.push_back(std::make_unique<Queue>(std::move(backend), store_, timing_));
}

void Accounting::take(const protocol::SessionReport& report)
{
    if (!report.start_time || instances_.empty())
        return;
    protocol::SessionReport kept = report;
    kept.owner.clear(); // matters between relay and dispatcher only
    if (kept.record_id.empty())
        kept.record_id = store_.record_id_prefix() + "a" + std::to_string(++last_record_);
    const std::string json = protocol::to_json(kept);
    const Result<void> put = store_.put_record(instances_, kept.record_id, json);
    if (!put)
        log::error("accounting: {}: lost accounting record: {}", put.error().message, json);
}

void Accounting::stop(Milliseconds grace)
{
    const auto deadline = std::chrono::steady_clock::now() + grace;
    if (!queues_.empty() && grace > Milliseconds{0}) {
        // What cannot be written in time is reported by the store when it closes.
        (void)store_.flush(grace);
    }
    for (const auto& queue : queues_)
        queue->finish();
    for (const auto& queue : queues_)
        queue->join(deadline);
    queues_.clear();
}

} // namespace mediaproxy::accounting
