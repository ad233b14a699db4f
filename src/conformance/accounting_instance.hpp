// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "conformance/guest.hpp"
#include "conformance/lent_records.hpp"
#include "conformance/sample_records.hpp"
#include "conformance/stage.hpp"

namespace mediaproxy::conformance
{

/// An instance of the accounting plugin, with a thread for its calls that may block. Destroyed, if
/// it was made, when this object ends.
class AccountingInstance
{
public:
    /// Makes one with the subject's settings; gives up when the plugin refuses.
    explicit AccountingInstance(const Guest& guest);
    /// With other settings, which it may refuse: see created().
    AccountingInstance(const Guest& guest, std::span<const mp_setting> settings);
    ~AccountingInstance();
    AccountingInstance(const AccountingInstance&) = delete;
    AccountingInstance& operator=(const AccountingInstance&) = delete;

    const Outcome& created() const noexcept { return created_; }
    /// Gives up when it cannot be opened.
    void open();
    /// Writes all, as the daemon does: gives up when one of them would be parked, or when it asks
    /// for patience without end.
    void deliver(const SampleRecords& records, Sizes sizes = Sizes::ours);
    /// The same without waiting for it: see worker(). `records` must stay.
    void start_delivery(const SampleRecords& records);
    void destroy();

    // One call each, held to the rules. [worker thread]
    Outcome call_open();
    struct Written {
        Outcome outcome;
        std::uint32_t done;
    };
    Written call_write(std::span<const mp_session_record* const> records, Sizes sizes);
    void cancel(); ///< [any thread]
    bool has_cancel() const noexcept;

    Worker& worker() noexcept { return *worker_; }
    /// Goes on with another thread.
    void change_worker();

private:
    void create(std::span<const mp_setting> settings);
    void deliver_here(std::span<const mp_session_record* const> records, Sizes sizes);

    Stage& stage_;
    const mp_accounting& vtable_;
    std::unique_ptr<Worker> worker_;
    WitnessHost host_;
    void* instance_ = nullptr;
    Outcome created_;
    bool alive_ = false;
};

} // namespace mediaproxy::conformance
