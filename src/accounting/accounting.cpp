// SPDX-License-Identifier: GPL-2.0-or-later
#include "accounting/accounting.hpp"

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "base/log.hpp"
#include "base/thread.hpp"
#include "store/clock.hpp"

namespace mediaproxy::accounting
{

namespace
{

void count_in(const store::Store::Count& count, Figures& figures)
{
    auto one = std::find_if(figures.back_ends.begin(), figures.back_ends.end(),
                            [&](const BackEndFigures& each) { return each.name == count.backend; });
    if (one == figures.back_ends.end()) {
        one = figures.back_ends.emplace(one);
        one->name = count.backend;
        one->state = BackEndFigures::State::not_configured;
    }
    one->waiting += count.waiting;
    one->parked += count.parked;
    if (count.waiting == 0)
        return;
    const Milliseconds age{std::max<std::int64_t>(0, store::unstepped_time() - count.oldest)};
    one->oldest_age =
        std::max(one->oldest_age.value_or(Seconds{0}), std::chrono::duration_cast<Seconds>(age));
}

/// Watches over whoever waits for plugins, from another thread: even the call that cancels one may
/// not return.
class Patience
{
public:
    explicit Patience(GiveUp give_up) : give_up_(std::move(give_up))
    {
        if (give_up_.act)
            thread_ = std::thread([this] { run(); });
    }
    ~Patience()
    {
        if (!thread_.joinable())
            return;
        {
            const std::lock_guard held(mutex_);
            over_ = true;
            wake_.notify_one();
        }
        thread_.join();
    }
    Patience(const Patience&) = delete;
    Patience& operator=(const Patience&) = delete;

    void wait_for(const std::string& instance)
    {
        const std::lock_guard held(mutex_);
        instance_ = instance;
    }

private:
    void run()
    {
        begin_thread("patience", Urgency::soon);
        std::unique_lock held(mutex_);
        if (wake_.wait_for(held, give_up_.after, [&] { return over_; }))
            return;
        const std::string instance = instance_;
        held.unlock();
        log::error("{}: still does not return {} ms after it was cancelled: its plugin hangs",
                   instance, give_up_.after.count());
        give_up_.act();
    }

    const GiveUp give_up_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::string instance_;
    bool over_ = false;
    std::thread thread_;
};

} // namespace

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
    not_loaded_.emplace(instance, backend.error().message);
}

void Accounting::add(std::unique_ptr<plugin::AccountingBackend> backend)
{
    instances_.push_back(backend->instance());
    queues_.push_back(std::make_unique<Queue>(std::move(backend), store_, timing_));
}

bool Accounting::take(const protocol::SessionReport& report)
{
    if (!report.start_time || instances_.empty())
        return true;
    protocol::SessionReport kept = report;
    kept.owner.clear(); // matters between relay and dispatcher only
    if (kept.record_id.empty())
        kept.record_id = store_.record_id_prefix() + "a" + std::to_string(++last_record_);
    const std::string json = protocol::to_json(kept);
    const Result<void> put = store_.put_record(instances_, kept.record_id, json);
    if (!put)
        log::error("accounting: {}: lost accounting record: {}", put.error().message, json);
    return put.has_value();
}

Figures Accounting::figures() const
{
    Figures figures;
    const auto unwritten = store_.unwritten();
    figures.in_memory = unwritten ? unwritten->records : 0;
    const std::vector<store::Store::Count> counts = store_.last_count();
    for (const std::string& instance : instances_) {
        BackEndFigures& one = figures.back_ends.emplace_back();
        one.name = instance;
        one.waiting = figures.in_memory;
        if (unwritten)
            one.oldest_age = std::chrono::duration_cast<Seconds>(unwritten->age);
        const auto absent = not_loaded_.find(instance);
        if (absent == not_loaded_.end())
            continue;
        one.state = BackEndFigures::State::not_loaded;
        one.last_error = absent->second;
    }
    for (const auto& queue : queues_) {
        for (BackEndFigures& one : figures.back_ends) {
            if (one.name == queue->instance())
                queue->tell(one);
        }
    }
    for (const store::Store::Count& count : counts)
        count_in(count, figures);
    return figures;
}

void Accounting::stop(Milliseconds grace, GiveUp give_up)
{
    const auto deadline = std::chrono::steady_clock::now() + grace;
    if (!queues_.empty() && grace > Milliseconds{0}) {
        // What cannot be written in time is reported by the store when it closes.
        (void)store_.flush(grace);
    }
    for (const auto& queue : queues_)
        queue->finish();
    for (const auto& queue : queues_)
        queue->await_end(deadline);
    Patience patience(std::move(give_up));
    // All of them first, so that none has less time for it because of another.
    for (const auto& queue : queues_) {
        patience.wait_for(queue->instance());
        queue->cancel();
    }
    for (const auto& queue : queues_) {
        patience.wait_for(queue->instance());
        queue->join();
    }
    for (auto& queue : queues_) {
        patience.wait_for(queue->instance());
        queue.reset(); // a plugin may hang in its destroy(), too
    }
    queues_.clear();
}

} // namespace mediaproxy::accounting
