// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"

namespace mediaproxy::conformance
{

enum class Grade : char {
    fault = 'f',
    warning = 'w',
    left_out = 'l', ///< the check could not be made, for a reason that is not the plugin's fault
};

struct Finding {
    Grade grade;
    std::string sentence;
};

/// What the process of a trial tells the runner, in memory that both see: it outlives a crash.
class Notes
{
public:
    struct Unmap {
        void operator()(Notes* notes) const noexcept;
    };
    using Shared = std::unique_ptr<Notes, Unmap>;
    static Result<Shared> make();

    // In the process of the trial, on any thread.
    void add(Grade grade, std::string_view sentence) noexcept;
    /// What the trial is about to do, in words that follow "while": shown if it dies of it.
    void set_situation(std::string_view situation) noexcept;
    /// The trial came to its end, whatever it found.
    void finish() noexcept { finished_ = true; }
    /// For a signal handler.
    void keep_crash(const char* call, std::string_view detail) noexcept;

    // In the runner.
    std::vector<Finding> findings() const;
    std::string_view situation() const noexcept { return situation_.data(); }
    bool finished() const noexcept { return finished_; }
    /// The function of the plugin that crashed, and what memory it touched; both may be empty.
    std::string_view crashed_call() const noexcept { return crashed_call_.data(); }
    std::string_view crash_detail() const noexcept { return crash_detail_.data(); }
    /// A call into the plugin that has been under way for longer than `patience`.
    std::optional<std::string> find_hanging(Milliseconds patience) const;

    /// A call into the plugin, as long as this object lives.
    class Call
    {
    public:
        Call(Notes& notes, const char* name) noexcept;
        ~Call();
        Call(const Call&) = delete;
        Call& operator=(const Call&) = delete;
        /// That of the calling thread; empty when it is not in the plugin.
        static const char* current() noexcept;

    private:
        Notes& notes_;
        const char* outer_;
        std::size_t slot_ = 0;
    };

private:
    struct Slot {
        std::atomic<bool> taken{false};
        std::atomic<std::int64_t> since_ms{0}; ///< 0: not yet
        std::array<char, 32> name{};
    };
    Notes() = default;

    std::atomic<bool> finished_{false};
    std::atomic<std::size_t> used_{0};
    std::array<Slot, 16> slots_;
    std::array<char, 256> situation_{}, crash_detail_{};
    std::array<char, 32> crashed_call_{};
    std::array<char, 32768> text_{}; ///< a letter for the grade, the sentence, a newline; again
};

} // namespace mediaproxy::conformance
