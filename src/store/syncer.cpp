// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/syncer.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>
#include <utility>

#include "base/log.hpp"
#include "base/thread.hpp"

namespace mediaproxy::store
{

namespace
{

// Of the WAL, in pages of 4 kB.
constexpr int copy_every = 4096;  ///< nobody waits
constexpr int restart_at = 16384; ///< so busy that copies never come to the end: writers wait once
constexpr Milliseconds look_interval{500};

} // namespace

Syncer::Syncer(std::string path, Milliseconds interval, std::function<void()> look)
    : path_(std::move(path)), interval_(interval), look_(std::move(look))
{
}

void Syncer::start()
{
    thread_ = std::thread([this] { run(); });
}

void Syncer::stop()
{
    if (!thread_.joinable())
        return;
    {
        const std::lock_guard held(mutex_);
        stopping_ = true;
        wake_.notify_one();
    }
    thread_.join();
    (void)let_go();
}

void Syncer::on_commit()
{
    const std::lock_guard held(mutex_);
    if (commits_++ > synced_)
        return; // it has been woken
    first_commit_ = Clock::now();
    wake_.notify_one();
}

bool Syncer::is_synced() const
{
    const std::lock_guard held(mutex_);
    return commits_ == synced_;
}

void Syncer::run()
{
    begin_thread("store-sync", Urgency::soon);
    Clock::time_point next_look{};
    bool looked = true;
    std::unique_lock held(mutex_);
    while (!stopping_) {
        const auto is_needed = [&] { return stopping_ || commits_ > synced_; };
        if (looked)
            wake_.wait(held, is_needed);
        else
            wake_.wait_until(held, next_look, is_needed);
        if (commits_ > synced_) {
            // Half of the time is for the disk to do it.
            wake_.wait_until(held, first_commit_ + interval_ / 2, [&] { return stopping_; });
            const std::uint64_t commits = commits_;
            first_commit_ = Clock::now(); // of what comes meanwhile, at the earliest
            held.unlock();
            const bool synced = sync_and_copy();
            held.lock();
            synced_ = synced ? commits : synced_;
            looked = false;
        }
        if (looked || stopping_ || Clock::now() < next_look)
            continue;
        held.unlock();
        const Clock::time_point begin = Clock::now();
        look_();
        // A spool of millions takes its time: that shall not become all of our time.
        next_look =
            Clock::now() + std::max<Clock::duration>(look_interval, (Clock::now() - begin) * 20);
        looked = true;
        held.lock();
    }
}

bool Syncer::sync_and_copy()
{
    if (path_.empty())
        return true;
    const std::lock_guard held(file_mutex_);
    if (!open_file())
        return false;
    if (::fdatasync(wal_.get()) != 0)
        return complain(path_ + "-wal: cannot be synced: " + std::strerror(errno));
    if (auto copied = copy(); !copied)
        return complain(copied.error().message);
    if (std::exchange(failed_, false))
        log::warning("store {}: is brought to the disk again", path_);
    return true;
}

/// Into the file, so that the WAL can begin anew: it does when all of it is copied and nobody
/// reads.
Result<void> Syncer::copy()
{
    const int frames = frames_.load(std::memory_order_relaxed);
    if (frames < copied_)
        copied_ = 0; // it has begun anew
    if (frames < copied_ + copy_every)
        return {};
    copied_ = frames;
    auto copied = connection_->checkpoint(Connection::Checkpoint::passive);
    if (copied && frames >= restart_at)
        copied = connection_->checkpoint(Connection::Checkpoint::restart);
    return copied;
}

bool Syncer::open_file()
{
    if (connection_)
        return true;
    auto opened = Connection::open(path_, Connection::Access::write);
    if (!opened)
        return complain(opened.error().message);
    // A connection knows of the WAL from its first read on; without one it copies nothing. From
    // then on nobody deletes the WAL either: what is opened by its name is the one in use.
    if (auto read = opened->number("PRAGMA user_version"); !read)
        return complain(read.error().message);
    wal_.reset(::open((path_ + "-wal").c_str(), O_RDONLY | O_CLOEXEC));
    if (!wal_)
        return complain(path_ + "-wal: " + std::strerror(errno));
    connection_ = std::make_unique<Connection>(*std::move(opened));
    copied_ = 0;
    return true;
}

std::unique_lock<std::mutex> Syncer::let_go()
{
    std::unique_lock held(file_mutex_);
    connection_.reset();
    wal_.reset();
    return held;
}

bool Syncer::complain(const std::string& message)
{
    if (!std::exchange(failed_, true))
        log::error("store {}; what was written survives the process, but no power cut", message);
    return false;
}

} // namespace mediaproxy::store
