// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <functional>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include <asio/io_context.hpp>

#include <mediaproxy/accounting.h>

#include "plugin/accounting_backend.hpp"

namespace mediaproxy::fakes
{

/// An accounting plugin that is linked in. What it does is the test's choice; it may be changed
/// while it runs.
class AccountingPlugin
{
public:
    using Judge = std::function<mp_status(const std::string& record_id)>;

    std::unique_ptr<plugin::AccountingBackend> make(asio::io_context& io,
                                                    const std::string& instance = "accounting.fake")
    {
        plugin::PluginSource source;
        source.name = "fake";
        source.instance = instance;
        const std::lock_guard held(making_mutex());
        making() = this;
        auto made = plugin::AccountingBackend::create(io, plugin_, source);
        if (!made)
            throw std::runtime_error(made.error().message);
        return *std::move(made);
    }

    void set_open(mp_status status)
    {
        const std::lock_guard held(mutex_);
        open_status_ = status;
    }
    /// What to do with each record; nothing: take it.
    void set_judge(Judge judge)
    {
        const std::lock_guard held(mutex_);
        judge_ = std::move(judge);
    }
    /// write() blocks until it is cancelled.
    void block()
    {
        const std::lock_guard held(mutex_);
        blocking_ = true;
    }
    /// And cancelling it is to no avail.
    void hang()
    {
        const std::lock_guard held(mutex_);
        blocking_ = hanging_ = true;
    }
    /// write() blocks until it is cancelled, but the call that does so does not return.
    void hang_in_cancel()
    {
        const std::lock_guard held(mutex_);
        blocking_ = cancel_hangs_ = true;
    }
    /// Neither hangs any more.
    void let_go()
    {
        const std::lock_guard held(mutex_);
        hanging_ = cancel_hangs_ = false;
        cancelled_ = true;
        changed_.notify_all();
    }
    std::vector<std::string> written() const
    {
        const std::lock_guard held(mutex_);
        return written_;
    }
    int opens() const
    {
        const std::lock_guard held(mutex_);
        return opens_;
    }
    template <class Condition>
    bool wait_until(Condition condition)
    {
        std::unique_lock held(mutex_);
        return changed_.wait_for(held, std::chrono::seconds(20), [&] { return condition(*this); });
    }
    // For wait_until, which holds the lock.
    std::size_t written_count() const { return written_.size(); }
    int open_count() const { return opens_; }
    bool is_blocked() const { return blocked_; }
    std::size_t largest_batch() const { return largest_batch_; }

private:
    static AccountingPlugin*& making()
    {
        static AccountingPlugin* instance = nullptr;
        return instance;
    }
    static std::mutex& making_mutex()
    {
        static std::mutex mutex;
        return mutex;
    }
    static AccountingPlugin& of(void* instance)
    {
        return *static_cast<AccountingPlugin*>(instance);
    }

    static mp_status create(const mp_host*, const mp_setting*, std::uint32_t, void** instance,
                            mp_error*)
    {
        *instance = making();
        return MP_OK;
    }
    static mp_status open(void* instance, mp_error* error)
    {
        AccountingPlugin& self = of(instance);
        const std::lock_guard held(self.mutex_);
        ++self.opens_;
        self.changed_.notify_all();
        std::snprintf(error->message, sizeof error->message, "not today");
        return self.open_status_;
    }
    static mp_status write(void* instance, const mp_session_record* const* records,
                           std::uint32_t count, std::uint32_t* done, mp_error* error)
    {
        AccountingPlugin& self = of(instance);
        std::unique_lock held(self.mutex_);
        self.largest_batch_ = std::max<std::size_t>(self.largest_batch_, count);
        if (self.blocking_) {
            self.blocked_ = true;
            self.changed_.notify_all();
            self.changed_.wait(held, [&] { return self.cancelled_ && !self.hanging_; });
            std::snprintf(error->message, sizeof error->message, "cancelled");
            return MP_E_AGAIN;
        }
        for (*done = 0; *done < count; ++*done) {
            const std::string id = records[*done]->record_id;
            const mp_status status = self.judge_ ? self.judge_(id) : MP_OK;
            if (status != MP_OK) {
                std::snprintf(error->message, sizeof error->message, "no to %s", id.c_str());
                return status;
            }
            self.written_.push_back(id);
            self.changed_.notify_all();
        }
        return MP_OK;
    }
    static void cancel(void* instance)
    {
        AccountingPlugin& self = of(instance);
        std::unique_lock held(self.mutex_);
        self.cancelled_ = true;
        self.changed_.notify_all();
        self.changed_.wait(held, [&] { return !self.cancel_hangs_; });
    }
    static void destroy(void*) {}

    static inline const mp_accounting vtable_{
        sizeof(mp_accounting), 0, create, open, write, cancel, destroy};
    static inline const char* const keys_[] = {nullptr};
    static inline const mp_plugin plugin_{MP_ABI_VERSION,
                                          sizeof(mp_plugin),
                                          "fake",
                                          "1",
                                          "linked in",
                                          keys_,
                                          [](const char*) -> const void* { return &vtable_; }};

    mutable std::mutex mutex_;
    std::condition_variable changed_;
    mp_status open_status_ = MP_OK;
    Judge judge_;
    bool blocking_ = false, blocked_ = false, cancelled_ = false;
    bool hanging_ = false, cancel_hangs_ = false;
    int opens_ = 0;
    std::size_t largest_batch_ = 0;
    std::vector<std::string> written_;
};

} // namespace mediaproxy::fakes
