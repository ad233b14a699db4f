// SPDX-License-Identifier: GPL-2.0-or-later
#include "conformance/accounting_instance.hpp"

#include <chrono>
#include <fmt/format.h>
#include <thread>
#include <utility>

namespace mediaproxy::conformance
{

namespace
{

constexpr int most_attempts = 20;
constexpr Milliseconds pause{20}; ///< before the first attempt of many

} // namespace

AccountingInstance::AccountingInstance(const Guest& guest)
    : stage_(guest.stage()), vtable_(guest.accounting()), worker_(std::make_unique<Worker>(stage_)),
      host_(stage_, "check-plugin")
{
    const PreparedSettings settings(guest);
    create(settings.abi());
    if (!created_.ok())
        stage_.give_up(
            fmt::format("create refused with {}: {}", to_text(created_.status), created_.message));
}

AccountingInstance::AccountingInstance(const Guest& guest, std::span<const mp_setting> settings)
    : stage_(guest.stage()), vtable_(guest.accounting()), worker_(std::make_unique<Worker>(stage_)),
      host_(stage_, "check-plugin")
{
    create(settings);
}

AccountingInstance::~AccountingInstance()
{
    destroy();
}

void AccountingInstance::create(std::span<const mp_setting> settings)
{
    const LentSettings lent(settings);
    created_ = stage_.call("create", [&](mp_error* error) {
        return vtable_.create(host_.abi(), lent.data(), lent.count(), &instance_, error);
    });
    alive_ = created_.ok();
}

void AccountingInstance::destroy()
{
    worker_.reset();
    if (!std::exchange(alive_, false))
        return;
    stage_.enter("destroy", [&] { vtable_.destroy(instance_); });
}

void AccountingInstance::change_worker()
{
    worker_ = std::make_unique<Worker>(stage_);
}

Outcome AccountingInstance::call_open()
{
    return stage_.call("open", [&](mp_error* error) { return vtable_.open(instance_, error); });
}

AccountingInstance::Written
AccountingInstance::call_write(std::span<const mp_session_record* const> records, Sizes sizes)
{
    const LentRecords lent(records, sizes);
    const auto count = static_cast<std::uint32_t>(records.size());
    LentMemory done_memory("the done of write", sizeof(std::uint32_t));
    auto* const done_place = reinterpret_cast<std::uint32_t*>(done_memory.data());
    *done_place = 0;
    Outcome outcome = stage_.call("write", [&](mp_error* error) {
        return vtable_.write(instance_, lent.data(), count, done_place, error);
    });
    const std::uint32_t done = *done_place;
    stage_.take_back(done_memory, "the done of write");
    if (done > count)
        stage_.give_up(fmt::format("write says that {} of {} records are done", done, count));
    if (outcome.ok() && done < count)
        stage_.give_up(fmt::format("write returned MP_OK with {} of {} records done", done, count));
    if (!outcome.ok() && done == count)
        stage_.give_up(fmt::format("write returned {} with all of {} records done: its status is "
                                   "that of records[*done], which there is not",
                                   to_text(outcome.status), count));
    return {outcome, done};
}

void AccountingInstance::cancel()
{
    if (has_cancel())
        stage_.enter("cancel", [&] { vtable_.cancel(instance_); });
}

bool AccountingInstance::has_cancel() const noexcept
{
    return vtable_.cancel != nullptr;
}

void AccountingInstance::open()
{
    Outcome outcome;
    worker_->run([&] { outcome = call_open(); });
    if (!outcome.ok())
        stage_.give_up(
            fmt::format("open failed with {}: {}", to_text(outcome.status), outcome.message));
}

void AccountingInstance::deliver(const SampleRecords& records, Sizes sizes)
{
    worker_->run([&] { deliver_here(records.all(), sizes); });
}

void AccountingInstance::start_delivery(const SampleRecords& records)
{
    worker_->start([this, &records] { deliver_here(records.all(), Sizes::ours); });
}

void AccountingInstance::deliver_here(std::span<const mp_session_record* const> records,
                                      Sizes sizes)
{
    int attempts = 0;
    while (!records.empty()) {
        const auto [outcome, done] = call_write(records, sizes);
        if (outcome.ok())
            return;
        records = records.subspan(done);
        attempts = done > 0 ? 0 : attempts;
        if (outcome.status != MP_E_AGAIN)
            stage_.give_up(fmt::format("write refused record {} with {}, so that the daemon would "
                                       "never write it: {}",
                                       records.front()->record_id, to_text(outcome.status),
                                       outcome.message));
        if (++attempts == most_attempts)
            stage_.give_up(fmt::format("write says MP_E_AGAIN without end: {}", outcome.message));
        std::this_thread::sleep_for(pause * attempts);
        call_open();
    }
}

} // namespace mediaproxy::conformance
