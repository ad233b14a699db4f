// SPDX-License-Identifier: GPL-2.0-or-later
#include "support/sysctls.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

#include "support/failure.hpp"

namespace mediaproxy::plugin_support
{
namespace
{

std::string path_of(std::string_view name)
{
    return "/proc/sys/" + std::string(name);
}

/// 0 or an errno.
int write(std::string_view name, std::string_view value)
{
    const int fd = open(path_of(name).c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    const int error = ::write(fd, value.data(), value.size()) < 0 ? errno : 0;
    close(fd);
    return error;
}

} // namespace

Sysctls::Sysctls(std::string path, Log log) : path_(std::move(path)), log_(std::move(log))
{
    load(path_);
}

void Sysctls::load(const std::string& path)
{
    if (path.empty())
        return;
    std::ifstream left(path);
    Entry entry;
    while (left >> entry.name >> entry.before >> entry.value) {
        if (std::none_of(changed_.begin(), changed_.end(),
                         [&](const Entry& known) { return known.name == entry.name; }))
            changed_.push_back(entry);
    }
}

void Sysctls::inherit(const std::string& path)
{
    if (path.empty() || access(path.c_str(), F_OK) != 0)
        return;
    load(path);
    remember();
    unlink(path.c_str());
}

std::string Sysctls::read(std::string_view name)
{
    std::ifstream file(path_of(name));
    std::string value;
    file >> value;
    return value;
}

mp_status Sysctls::require(const std::string& name, const std::string& value, mp_error& error)
{
    const std::string before = read(name);
    if (before.empty())
        return fail(&error, MP_E_UNSUPPORTED, "this kernel has no sysctl " + name);
    if (before != value) {
        const bool first = std::none_of(changed_.begin(), changed_.end(),
                                        [&](const Entry& entry) { return entry.name == name; });
        if (first) {
            changed_.push_back({name, before, value, false});
            remember(); // before the change: a crash in between puts back what is there already
        }
        if (const int problem = write(name, value); problem != 0) {
            if (first)
                changed_.pop_back();
            remember();
            return fail(&error, MP_E_DENIED,
                        name + " is " + before + " and must be " + value +
                            ", but it cannot be written: " + std::strerror(problem));
        }
        log_(MP_LOG_INFO, name + " was " + before + ", is " + value + " from now on");
    }
    if (std::none_of(required_.begin(), required_.end(),
                     [&](const Entry& entry) { return entry.name == name; }))
        required_.push_back({name, {}, value, false});
    return MP_OK;
}

bool Sysctls::hold()
{
    bool held = true;
    for (Entry& entry : required_) {
        const bool told = std::exchange(entry.refused, false);
        const std::string now = read(entry.name);
        if (now == entry.value || now.empty()) // empty: its device is gone
            continue;
        const int problem = write(entry.name, entry.value);
        entry.refused = problem != 0;
        held = held && !entry.refused;
        if (told && entry.refused)
            continue; // else the log would have it every second
        log_(MP_LOG_WARNING,
             "somebody set " + entry.name + " to " + now + "; " +
                 (problem == 0 ? "it is " + entry.value + " again"
                               : std::string("it cannot be set back: ") + std::strerror(problem)));
    }
    return held;
}

void Sysctls::restore()
{
    // Backwards: one may have changed what another one holds (ip_forward does).
    for (auto entry = changed_.rbegin(); entry != changed_.rend(); ++entry) {
        if (read(entry->name) == entry->value && write(entry->name, entry->before) == 0)
            log_(MP_LOG_INFO, entry->name + " is " + entry->before + " again");
    }
    changed_.clear();
    required_.clear();
    remember();
}

void Sysctls::remember() const
{
    if (path_.empty())
        return;
    if (changed_.empty()) {
        unlink(path_.c_str());
        return;
    }
    std::ofstream file(path_, std::ios::trunc);
    for (const Entry& entry : changed_)
        file << entry.name << ' ' << entry.before << ' ' << entry.value << '\n';
}

std::vector<std::string> sysctls_with_value(const std::string& folder, const std::string& leaf,
                                            const std::string& value)
{
    std::vector<std::string> found;
    std::error_code problem;
    for (const auto& entry : std::filesystem::directory_iterator(path_of(folder), problem)) {
        const std::string name = folder + "/" + entry.path().filename().string() + "/" + leaf;
        if (Sysctls::read(name) == value)
            found.push_back(name);
    }
    return found;
}

mp_status require_ipv6_forwarding(Sysctls& sysctls, mp_error& error)
{
    const std::string forwarding = "net/ipv6/conf/all/forwarding";
    if (Sysctls::read(forwarding) != "1") {
        // A router takes no default route from others (and drops those it has), unless told to.
        for (const std::string& name : sysctls_with_value("net/ipv6/conf", "accept_ra", "1")) {
            if (const mp_status status = sysctls.require(name, "2", error); status != MP_OK)
                return status;
        }
    }
    return sysctls.require(forwarding, "1", error);
}

} // namespace mediaproxy::plugin_support
