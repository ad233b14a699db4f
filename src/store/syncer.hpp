// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/time.hpp"
#include "base/unique_fd.hpp"
#include "store/sqlite.hpp"

namespace mediaproxy::store
{

/// The thread that does what may take long, so that no commit waits for it: brings the WAL to the
/// disk, copies it into the file, looks at how full the spool is.
class Syncer
{
public:
    /// `path` empty: there is no file. `look` is called after commits, every half second at most.
    Syncer(std::string path, Milliseconds interval, std::function<void()> look);
    ~Syncer() { stop(); }
    Syncer(const Syncer&) = delete;
    Syncer& operator=(const Syncer&) = delete;

    /// The writer counts here how many frames the WAL has.
    std::atomic<int>& frames() noexcept { return frames_; }
    /// Something was committed. [writer thread]
    void on_commit();
    /// Everything that was committed has been brought to the disk.
    bool is_synced() const;

    void start();
    void stop();
    /// Lets go of the file, and keeps off it until the lock is gone: for who replaces it. Nothing
    /// counts as synced meanwhile. Blocks.
    [[nodiscard]] std::unique_lock<std::mutex> let_go();

private:
    using Clock = std::chrono::steady_clock;

    void run();
    bool sync_and_copy();
    Result<void> copy();
    bool open_file();
    /// Once until it works again; false.
    bool complain(const std::string& message);

    const std::string path_;
    const Milliseconds interval_;
    const std::function<void()> look_;
    std::atomic<int> frames_{0};

    std::mutex file_mutex_;
    UniqueFd wal_;                           ///< guarded by file_mutex_
    std::unique_ptr<Connection> connection_; ///< guarded by file_mutex_
    int copied_ = 0;                         ///< frames of the WAL, at the last copy
    bool failed_ = false;                    ///< and that was logged

    mutable std::mutex mutex_;
    std::condition_variable wake_;
    std::uint64_t commits_ = 0, synced_ = 0;
    Clock::time_point first_commit_{}; ///< of those that are not synced
    bool stopping_ = false;
    std::thread thread_;
};

} // namespace mediaproxy::store
