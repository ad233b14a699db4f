// SPDX-License-Identifier: GPL-2.0-or-later
// A database is two files, which no rename replaces at once; and a WAL that is found next to a
// file is taken for that file's. So the complete new file is first renamed to a name that says so,
// and under which name the damaged one is set aside. From then on it is what counts: whatever stops
// the rest, the next open goes on with it.
#include "store/swap.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "base/unique_fd.hpp"

namespace mediaproxy::store
{

namespace
{

namespace fs = std::filesystem;

constexpr std::array side_files = {"",
                                   "-wal"}; ///< the -shm file is an index that SQLite makes anew
constexpr const char* complete = ".salvaged-";
constexpr const char* damaged = ".damaged-";

bool exists(const std::string& path)
{
    std::error_code error;
    return fs::exists(path, error);
}

Result<void> sync(const std::string& path, int flags)
{
    const UniqueFd file(::open(path.c_str(), flags | O_CLOEXEC));
    if (!file || ::fsync(file.get()) != 0)
        return Error{Error::Code::io, path + ": cannot be synced: " + std::strerror(errno)};
    return {};
}

std::string folder_of(const std::string& path)
{
    const std::string folder = fs::path(path).parent_path();
    return folder.empty() ? "." : folder;
}

/// The names that files of it got and lost.
Result<void> sync_folder(const std::string& path)
{
    return sync(folder_of(path), O_RDONLY | O_DIRECTORY);
}

Result<void> rename(const std::string& from, const std::string& to)
{
    std::error_code error;
    fs::rename(from, to, error);
    if (error)
        return Error{Error::Code::io,
                     fmt::format("{}: cannot be renamed to {}: {}", from, to, error.message())};
    return {};
}

/// A date under which nothing is set aside yet.
std::string new_date(const std::string& path)
{
    const std::string now = fmt::format("{:%Y%m%dT%H%M%S}", fmt::gmtime(std::time(nullptr)));
    const auto is_taken = [&](const std::string& date) {
        return exists(path + damaged + date) || exists(path + damaged + date + "-wal") ||
               exists(path + complete + date);
    };
    std::string date = now;
    for (int more = 2; is_taken(date); ++more)
        date = fmt::format("{}-{}", now, more);
    return date;
}

/// The file first: the damaged one is never without its WAL under the name that others open.
Result<void> set_aside(const std::string& path, const std::string& name,
                       const BetweenSteps& between)
{
    for (const char* side : side_files) {
        if (!exists(path + side))
            continue;
        // A person may have put another file there while a swap was interrupted.
        std::string free_name = name + side;
        for (int more = 2; exists(free_name); ++more)
            free_name = fmt::format("{}-{}{}", name, more, side);
        if (auto renamed = rename(path + side, free_name); !renamed)
            return renamed;
        between();
    }
    std::error_code ignored;
    fs::remove(path + "-shm", ignored);
    between();
    return sync_folder(path);
}

/// What swap_in_finished() has left to do when there is a complete file of that date.
Result<std::string> finish(const std::string& path, const std::string& date,
                           const BetweenSteps& between)
{
    const std::string name = path + damaged + date;
    if (auto aside = set_aside(path, name, between); !aside)
        return std::move(aside).error();
    if (auto renamed = rename(path + complete + date, path); !renamed)
        return std::move(renamed).error();
    between();
    if (auto synced = sync_folder(path); !synced)
        return std::move(synced).error();
    return name;
}

/// Of the complete file that an interrupted swap left; empty: there is none.
Result<std::string> date_of_interrupted(const std::string& path)
{
    const std::string prefix = fs::path(path).filename().string() + complete;
    std::error_code error;
    for (fs::directory_iterator each(folder_of(path), error), end; !error && each != end;
         each.increment(error)) {
        const std::string name = each->path().filename();
        if (name.starts_with(prefix) && !name.ends_with("-wal") && !name.ends_with("-shm"))
            return name.substr(prefix.size());
    }
    if (error)
        return Error{Error::Code::io, folder_of(path) + ": cannot be read: " + error.message()};
    return std::string();
}

} // namespace

std::string unfinished_name(const std::string& path)
{
    return path + ".salvage-new";
}

std::string copy_name(const std::string& path)
{
    return path + ".salvage-copy";
}

void remove_database(const std::string& path)
{
    std::error_code ignored;
    for (const char* side : {"", "-wal", "-shm"})
        fs::remove(path + side, ignored);
}

Result<std::string> swap_in_finished(const std::string& path, const BetweenSteps& between)
{
    if (auto synced = sync(unfinished_name(path), O_RDONLY); !synced)
        return std::move(synced).error();
    const std::string date = new_date(path);
    if (auto renamed = rename(unfinished_name(path), path + complete + date); !renamed)
        return std::move(renamed).error();
    between();
    if (auto synced = sync_folder(path); !synced)
        return std::move(synced).error();
    return finish(path, date, between);
}

Result<std::string> settle_swap(const std::string& path, const BetweenSteps& between)
{
    const BetweenSteps step = between ? between : [] {};
    remove_database(unfinished_name(path));
    remove_database(copy_name(path));
    step();
    Result<std::string> date = date_of_interrupted(path);
    if (!date || date->empty())
        return date;
    return finish(path, *date, step);
}

} // namespace mediaproxy::store
