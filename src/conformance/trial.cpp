// SPDX-License-Identifier: GPL-2.0-or-later
#include "conformance/trial.hpp"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fmt/format.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utility>

#include "base/text.hpp"
#include "base/unique_fd.hpp"

namespace mediaproxy::conformance
{

namespace
{

constexpr std::array crashes{SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
constexpr int look_ms = 20;
constexpr std::size_t most_output = 4096;

Notes* notes_of_process = nullptr;

/// Tells where it happened and lets the process die of it, by returning to it, or sends it anew
/// when it was sent.
void on_crash(int signal, siginfo_t* info, void*)
{
    const bool has_address = signal == SIGSEGV || signal == SIGBUS;
    notes_of_process->keep_crash(Notes::Call::current(), has_address
                                                             ? LentMemory::explain(info->si_addr)
                                                             : std::string_view());
    std::signal(signal, SIG_DFL);
    if (info->si_code <= 0)
        ::raise(signal);
}

void watch_crashes(Notes& notes)
{
    notes_of_process = &notes;
    struct sigaction action {
    };
    action.sa_sigaction = on_crash;
    action.sa_flags = SA_SIGINFO;
    for (const int signal : crashes)
        ::sigaction(signal, &action, nullptr);
}

[[noreturn]] void live(const std::function<void(Stage&)>& check, const Subject& subject,
                       Notes& notes, int output)
{
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
    watch_crashes(notes);
    std::signal(SIGPIPE, SIG_IGN); // as the daemon does
    Stage stage(subject, notes);
    try {
        check(stage);
    } catch (const std::exception& failed) {
        stage.give_up(std::string("the check itself failed: ") + failed.what());
    }
    notes.finish();
    ::_exit(0);
}

UniqueFd make_output()
{
    return UniqueFd(::memfd_create("output", MFD_CLOEXEC));
}

std::string read_output(int file)
{
    std::string output(most_output, '\0');
    const ssize_t size = ::pread(file, output.data(), output.size(), 0);
    output.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return output;
}

std::string first_line(std::string_view output)
{
    return text::printable(text::trim(output.substr(0, output.find('\n'))));
}

/// "while ...", when the check said what it was about to do.
std::string circumstances(const Notes& notes)
{
    return notes.situation().empty() ? "" : fmt::format(" while {}", notes.situation());
}

std::string describe_death(const Notes& notes, int status, std::string_view output)
{
    const std::string_view call = notes.crashed_call();
    if (!WIFSIGNALED(status))
        return fmt::format("the plugin ended the process with status {}{}{}", WEXITSTATUS(status),
                           circumstances(notes),
                           output.empty() ? "" : "; it said: " + first_line(output));
    const std::string where =
        call.empty() ? "between calls or in a thread of the plugin's" : fmt::format("in {}", call);
    std::string sentence = fmt::format("crashed {} with SIG{}{}", where,
                                       ::sigabbrev_np(WTERMSIG(status)), circumstances(notes));
    if (!notes.crash_detail().empty())
        sentence += fmt::format(": {}", notes.crash_detail());
    if (!output.empty())
        sentence += "; it said: " + first_line(output);
    return sentence;
}

/// Waits for its end, or kills it when a call hangs; the sentence says which.
std::string attend(pid_t child, const Notes& notes, Milliseconds patience)
{
    const UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, child, 0)));
    struct pollfd ended = {handle.get(), POLLIN, 0};
    while (::poll(&ended, 1, look_ms) <= 0) {
        const auto hanging = notes.find_hanging(patience);
        if (!hanging)
            continue;
        ::kill(child, SIGKILL);
        return fmt::format("{} has not returned within {:g} s{}", *hanging,
                           static_cast<double>(patience.count()) / 1000, circumstances(notes));
    }
    return {};
}

} // namespace

Result<Trial> try_out(const std::function<void(Stage&)>& check, const Subject& subject)
{
    auto notes = Notes::make();
    if (!notes)
        return notes.error();
    const UniqueFd output = make_output();
    const pid_t child = output ? ::fork() : -1;
    if (child < 0)
        return Error{Error::Code::exhausted, std::string("a trial: ") + std::strerror(errno)};
    if (child == 0)
        live(check, subject, **notes, output.get());

    const std::string hung = attend(child, **notes, subject.patience);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
    Trial trial{(*notes)->findings(), read_output(output.get())};
    if (!hung.empty())
        trial.findings.push_back({Grade::fault, hung});
    else if (!(*notes)->finished() || WIFSIGNALED(status))
        trial.findings.push_back({Grade::fault, describe_death(**notes, status, trial.output)});
    return trial;
}

} // namespace mediaproxy::conformance
