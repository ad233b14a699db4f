// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/folders.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.hpp"

namespace mediaproxy::app
{

namespace
{

Error failure(const std::string& path)
{
    const Error::Code code =
        errno == EACCES || errno == EPERM ? Error::Code::denied : Error::Code::io;
    return Error{code, fmt::format("{}: {}", path, std::strerror(errno))};
}

Result<UniqueFd> lock(const std::string& runtime_dir, std::string_view role)
{
    const std::string path = fmt::format("{}/{}.lock", runtime_dir, role);
    UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
    if (!file)
        return failure(path);
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        std::array<char, 32> pid{};
        const ssize_t size = ::pread(file.get(), pid.data(), pid.size(), 0);
        const std::string_view digits(pid.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
        return Error{Error::Code::unavailable,
                     fmt::format("{}: another {} (process {}) runs in {}", path, role,
                                 text::printable(text::trim(digits)), runtime_dir)};
    }
    const std::string pid = fmt::format("{}\n", ::getpid());
    if (::ftruncate(file.get(), 0) != 0 || ::pwrite(file.get(), pid.data(), pid.size(), 0) < 0)
        return failure(path);
    return file;
}

} // namespace

Result<void> make_folder(const std::string& path, unsigned mode)
{
    const std::filesystem::path folder(path);
    std::error_code error;
    if (std::filesystem::is_directory(folder, error))
        return {};
    if (folder.has_parent_path())
        std::filesystem::create_directories(folder.parent_path(), error);
    if (::mkdir(path.c_str(), mode) != 0 && errno != EEXIST)
        return failure(path);
    return {};
}

Result<void> enter_folder(const std::string& path, unsigned mode)
{
    if (auto made = make_folder(path, mode); !made)
        return made;
    if (::chdir(path.c_str()) != 0)
        return failure(path);
    return {};
}

Result<RoleLock> RoleLock::take(const std::string& runtime_dir, config::Role role)
{
    RoleLock locks;
    std::vector<std::string_view> roles;
    if (has_dispatcher(role))
        roles.push_back("dispatcher");
    if (has_relay(role))
        roles.push_back("relay");
    for (const std::string_view one : roles) {
        Result<UniqueFd> file = lock(runtime_dir, one);
        if (!file)
            return std::move(file).error();
        locks.files_.push_back(std::move(*file));
    }
    return locks;
}

} // namespace mediaproxy::app
