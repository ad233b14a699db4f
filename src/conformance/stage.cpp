// SPDX-License-Identifier: GPL-2.0-or-later
#include "conformance/stage.hpp"

#include <algorithm>
#include <array>
#include <asio/post.hpp>
#include <chrono>
#include <fmt/format.h>
#include <unistd.h>
#include <utility>

#include "base/text.hpp"

namespace mediaproxy::conformance
{

namespace
{

constexpr Milliseconds turn{10};

/// The sentence in an mp_error, and what is wrong with it.
struct Explanation {
    std::string sentence;
    std::string_view fault;
};

Explanation read_explanation(std::string_view bytes)
{
    const bool untouched = std::all_of(
        bytes.begin(), bytes.end(), [](char c) { return static_cast<unsigned char>(c) == 0xa5; });
    if (untouched || bytes.front() == '\0')
        return {{}, "and wrote no sentence into its mp_error"};
    const std::size_t end = bytes.find('\0');
    if (end == bytes.npos)
        return {{}, "and left the sentence in its mp_error without a zero byte at its end"};
    const std::string_view sentence = bytes.substr(0, end);
    if (!text::is_utf8(sentence))
        return {text::printable(sentence), "with a sentence that is not UTF-8"};
    if (sentence.find_first_of("\r\n") != sentence.npos)
        return {text::printable(sentence), "with a newline in its sentence"};
    return {std::string(sentence), {}};
}

} // namespace

std::string to_text(mp_status status)
{
    constexpr std::array<std::string_view, 6> names{
        "MP_OK", "MP_E_FAILED", "MP_E_INVALID", "MP_E_UNSUPPORTED", "MP_E_DENIED", "MP_E_AGAIN"};
    if (status > MP_OK || status < MP_E_AGAIN)
        return fmt::format("status {}", status);
    return std::string(names[static_cast<std::size_t>(-status)]);
}

Stage::Stage(const Subject& subject, Notes& notes) : subject_(subject), notes_(notes)
{
}

void Stage::give_up(std::string_view sentence) noexcept
{
    notes_.add(Grade::fault, sentence);
    notes_.finish();
    ::_exit(0);
}

void Stage::leave_out(std::string_view sentence) noexcept
{
    notes_.add(Grade::left_out, sentence);
    notes_.finish();
    ::_exit(0);
}

void Stage::take_back(LentMemory& memory, std::string_view label)
{
    if (!memory.take_back())
        fault(fmt::format("wrote in front of {}", label));
}

Outcome Stage::judge(const char* name, mp_status status, LentMemory& memory)
{
    const std::string bytes(reinterpret_cast<const char*>(memory.data()), memory.size());
    take_back(memory, std::string("the mp_error of ") + name);
    if (status == MP_OK)
        return {};
    if (status > MP_OK || status < MP_E_AGAIN) {
        fault(fmt::format("{} returned {}, which is no mp_status", name, status));
        status = MP_E_FAILED;
    }
    Explanation explained = read_explanation(bytes);
    if (!explained.fault.empty())
        fault(fmt::format("{} returned {} {}", name, to_text(status), explained.fault));
    if (explained.sentence.empty())
        explained.sentence = "failed without saying why";
    return {status, std::move(explained.sentence)};
}

bool Stage::await(const std::function<bool()>& reached)
{
    const auto deadline = std::chrono::steady_clock::now() + subject_.patience;
    while (!reached()) {
        if (std::chrono::steady_clock::now() > deadline)
            return false;
        io_.run_one_for(turn);
    }
    return true;
}

Worker::Worker(Stage& stage) : stage_(stage), thread_([this] { jobs_.run(); })
{
}

Worker::~Worker()
{
    open_.reset();
    thread_.join();
}

void Worker::start(std::function<void()> job)
{
    busy_ = true;
    asio::post(jobs_, [this, job = std::move(job)] {
        job();
        busy_ = false;
        asio::post(stage_.io(), [] {});
    });
}

void Worker::run(const std::function<void()>& job)
{
    start(job);
    wait();
}

void Worker::wait()
{
    // The runner's watchdog ends what hangs in the plugin.
    while (busy_)
        stage_.io().run_one_for(turn);
}

} // namespace mediaproxy::conformance
