// SPDX-License-Identifier: GPL-2.0-or-later
#include "support/sysctls.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
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

/// The kernel makes one up at each boot. It is the first entry of every file, as if it had been
/// changed to what it was: versions that do not know it read it as one more sysctl.
constexpr const char* boot_id = "kernel/random/boot_id";

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
    if (!load(path_))
        remember(); // which takes it away
}

/// False when there is a file, but not of this boot. What it calls ours was set by somebody else
/// since, who may need it, while that change of ours went with the boot. A file that does not say
/// of which boot it is (first versions wrote such) may be as old: a host that goes on forwarding
/// until its next boot is better than one that stops.
bool Sysctls::load(const std::string& path)
{
    std::ifstream left(path);
    if (path.empty() || !left)
        return true;
    Entry entry;
    left >> entry.name >> entry.before >> entry.value;
    if (entry.name != boot_id || entry.value.empty() || entry.value != read(boot_id)) {
        log_(MP_LOG_INFO, path + " is of another boot, or of a version that did not tell: the "
                                 "sysctls in it stay as they are");
        return false;
    }
    while (left >> entry.name >> entry.before >> entry.value) {
        if (std::none_of(changed_.begin(), changed_.end(),
                         [&](const Entry& known) { return known.name == entry.name; }))
            changed_.push_back(entry);
    }
    return true;
}

void Sysctls::inherit(const std::string& path)
{
    if (path.empty() || access(path.c_str(), F_OK) != 0)
        return;
    load(path);
    if (remember())
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
    if (const int problem = change(name, before, value); problem != 0)
        return fail(&error, MP_E_DENIED,
                    name + " is " + before + " and must be " + value +
                        ", but it cannot be written: " + std::strerror(problem));
    if (std::none_of(required_.begin(), required_.end(),
                     [&](const Entry& entry) { return entry.name == name; }))
        required_.push_back({name, {}, value, false});
    return MP_OK;
}

void Sysctls::prefer(const std::string& name, const std::string& value)
{
    const std::string before = read(name);
    const bool set_back = std::any_of(changed_.begin(), changed_.end(), [&](const Entry& entry) {
        return entry.name == name && entry.before == before;
    });
    if (before.empty() || set_back)
        return;
    if (const int problem = change(name, before, value); problem != 0)
        log_(MP_LOG_INFO, name + " stays " + before + ": " + std::strerror(problem));
}

/// 0 or an errno.
int Sysctls::change(const std::string& name, const std::string& before, const std::string& value)
{
    if (before == value)
        return 0;
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
        return problem;
    }
    log_(MP_LOG_INFO, name + " was " + before + ", is " + value + " from now on");
    return 0;
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

/// What cannot be written leaves the file as it was. Nothing need be on the disk at once: a power
/// cut takes the changes away, too.
bool Sysctls::remember() const
{
    if (path_.empty())
        return true;
    if (changed_.empty())
        return unlink(path_.c_str()) == 0 || errno == ENOENT;
    const std::string fresh = path_ + ".new";
    std::ofstream file(fresh, std::ios::trunc);
    const std::string boot = read(boot_id);
    file << boot_id << ' ' << boot << ' ' << boot << '\n';
    for (const Entry& entry : changed_)
        file << entry.name << ' ' << entry.before << ' ' << entry.value << '\n';
    file.close();
    if (file && std::rename(fresh.c_str(), path_.c_str()) == 0)
        return true;
    log_(MP_LOG_WARNING, path_ + " cannot be written: " + std::strerror(errno) +
                             "; sysctls may not be put back after a crash");
    unlink(fresh.c_str());
    return false;
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

void spare_early_demux(Sysctls& sysctls)
{
    sysctls.prefer("net/ipv4/udp_early_demux", "0"); // of IPv6, too
}

bool parse_early_demux(std::string_view text, bool& keeps)
{
    keeps = text == "keep";
    return keeps || text == "off";
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
