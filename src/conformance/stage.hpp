// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <asio/executor_work_guard.hpp>
#include <asio/io_context.hpp>
#include <exception>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include <mediaproxy/types.h>

#include "conformance/lent_memory.hpp"
#include "conformance/notes.hpp"
#include "conformance/subject.hpp"
#include "plugin/boundary.hpp"

namespace mediaproxy::conformance
{

using plugin::Outcome;

/// "MP_E_AGAIN", or "status 42".
std::string to_text(mp_status status);

/// Where a check happens: the process of its trial, whose first thread is the core thread.
class Stage
{
public:
    Stage(const Subject& subject, Notes& notes);

    const Subject& subject() const noexcept { return subject_; }
    asio::io_context& io() noexcept { return io_; }
    bool on_core_thread() const noexcept { return std::this_thread::get_id() == core_; }

    /// What comes next, in words that follow "while".
    void situation(std::string_view text) noexcept { notes_.set_situation(text); }
    void fault(std::string_view sentence) noexcept { notes_.add(Grade::fault, sentence); }
    void warn(std::string_view sentence) noexcept { notes_.add(Grade::warning, sentence); }
    /// A fault after which this check makes no sense; ends the process. [any thread]
    [[noreturn]] void give_up(std::string_view sentence) noexcept;
    /// The check cannot be made here; ends the process.
    [[noreturn]] void leave_out(std::string_view sentence) noexcept;

    /// Enters the plugin by `enter(mp_error*)` and holds what it returns, throws and writes to the
    /// rules. [any thread]
    template <class Enter>
    Outcome call(const char* name, Enter&& enter);
    /// The same for functions that return nothing, or something else.
    template <class Enter>
    void enter(const char* name, Enter&& enter);

    /// Turns the core thread's loop until `reached`, for as long as the patience lasts; true when
    /// it was. [core thread]
    bool await(const std::function<bool()>& reached);
    void take_back(LentMemory& memory, std::string_view label);

private:
    Outcome judge(const char* name, mp_status status, LentMemory& memory);

    const Subject& subject_;
    Notes& notes_;
    const std::thread::id core_ = std::this_thread::get_id();
    asio::io_context io_{1};
    asio::executor_work_guard<asio::io_context::executor_type> busy_{io_.get_executor()};
};

template <class Enter>
void Stage::enter(const char* name, Enter&& enter)
{
    const Notes::Call under_way(notes_, name);
    try {
        enter();
    } catch (const std::exception& escaped) {
        give_up(std::string(name) + " threw a C++ exception: " + escaped.what());
    } catch (...) {
        give_up(std::string(name) + " threw an exception");
    }
}

template <class Enter>
Outcome Stage::call(const char* name, Enter&& enter_with)
{
    LentMemory memory(std::string("the mp_error of ") + name, sizeof(mp_error));
    std::fill_n(memory.data(), memory.size(), std::byte{0xa5});
    mp_status status = MP_OK;
    enter(name, [&] { status = enter_with(reinterpret_cast<mp_error*>(memory.data())); });
    return judge(name, status, memory);
}

/// A thread of an instance of the plugin: calls that may block happen here, one at a time.
class Worker
{
public:
    explicit Worker(Stage& stage);
    ~Worker();
    Worker(const Worker&) = delete;
    Worker& operator=(const Worker&) = delete;

    /// Does `job` and turns the core thread's loop meanwhile. [core thread]
    void run(const std::function<void()>& job);
    /// The same without waiting for it.
    void start(std::function<void()> job);
    bool idle() const noexcept { return !busy_; }
    /// Turns the core thread's loop until it is idle.
    void wait();

private:
    Stage& stage_;
    std::atomic<bool> busy_{false};
    asio::io_context jobs_{1};
    asio::executor_work_guard<asio::io_context::executor_type> open_{jobs_.get_executor()};
    std::thread thread_;
};

} // namespace mediaproxy::conformance
