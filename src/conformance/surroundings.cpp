// SPDX-License-Identifier: GPL-2.0-or-later
#include "conformance/surroundings.hpp"

#include <algorithm>
#include <clocale>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <iterator>
#include <sys/stat.h>
#include <unistd.h>

namespace mediaproxy::conformance
{

namespace
{

std::map<int, std::string> list_descriptors()
{
    std::map<int, std::string> found;
    std::error_code failed;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd", failed)) {
        const std::string target = std::filesystem::read_symlink(entry.path(), failed).string();
        // Not the one that reads this folder.
        if (!failed && !target.starts_with("/proc/"))
            found.emplace(std::stoi(entry.path().filename().string()), target);
    }
    return found;
}

std::size_t count_threads()
{
    std::error_code failed;
    return static_cast<std::size_t>(
        std::distance(std::filesystem::directory_iterator("/proc/self/task", failed), {}));
}

bool same_action(const struct sigaction& a, const struct sigaction& b)
{
    return a.sa_handler == b.sa_handler && a.sa_flags == b.sa_flags;
}

} // namespace

Surroundings Surroundings::look()
{
    Surroundings now;
    now.descriptors_ = list_descriptors();
    now.threads_ = count_threads();
    for (std::size_t i = 1; i < signals; ++i)
        ::sigaction(static_cast<int>(i), nullptr, &now.actions_[i]);
    ::sigprocmask(SIG_BLOCK, nullptr, &now.blocked_);
    now.locale_ = std::setlocale(LC_ALL, nullptr);
    std::error_code failed;
    now.folder_ = std::filesystem::current_path(failed).string();
    now.umask_ = ::umask(0);
    ::umask(now.umask_);
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry)
        now.environment_.emplace_back(*entry);
    std::sort(now.environment_.begin(), now.environment_.end());
    return now;
}

std::vector<std::string> Surroundings::find_changes(const Surroundings& earlier) const
{
    std::vector<std::string> changes;
    for (std::size_t i = 1; i < signals; ++i) {
        const int signal = static_cast<int>(i);
        if (!same_action(actions_[i], earlier.actions_[i]))
            changes.push_back(
                fmt::format("changed what the process does on SIG{}", ::sigabbrev_np(signal)));
        if (::sigismember(&blocked_, signal) != ::sigismember(&earlier.blocked_, signal))
            changes.push_back(fmt::format("changed whether the core thread blocks SIG{}",
                                          ::sigabbrev_np(signal)));
    }
    if (locale_ != earlier.locale_)
        changes.push_back(fmt::format("changed the locale of the process from {} to {}",
                                      earlier.locale_, locale_));
    if (folder_ != earlier.folder_)
        changes.push_back("changed the working folder of the process to " + folder_);
    if (umask_ != earlier.umask_)
        changes.push_back(fmt::format("changed the umask of the process from {:03o} to {:03o}",
                                      earlier.umask_, umask_));
    if (environment_ != earlier.environment_)
        changes.push_back("changed the environment of the process");
    for (const auto& [number, target] : earlier.descriptors_) {
        if (!descriptors_.contains(number))
            changes.push_back(
                fmt::format("closed descriptor {}, which is not its own ({})", number, target));
    }
    return changes;
}

std::vector<std::string> Surroundings::find_leftovers(const Surroundings& earlier) const
{
    std::vector<std::string> leftovers;
    for (const auto& [number, target] : descriptors_) {
        const auto before = earlier.descriptors_.find(number);
        if (before == earlier.descriptors_.end() || before->second != target)
            leftovers.push_back(fmt::format("left descriptor {} open ({})", number, target));
    }
    if (threads_ > earlier.threads_)
        leftovers.push_back(
            fmt::format("left {} of its threads running", threads_ - earlier.threads_));
    return leftovers;
}

} // namespace mediaproxy::conformance
