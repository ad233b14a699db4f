// SPDX-License-Identifier: GPL-2.0-or-later
#include "accounting/spool_watch.hpp"

#include <utility>

#include "base/log.hpp"

namespace mediaproxy::accounting
{

namespace
{

constexpr Milliseconds look_interval{50}; ///< while the alarm is up

} // namespace

void SpoolWatch::on_put()
{
    if (!looking_)
        look_in(store::Store::patience);
}

void SpoolWatch::look_in(Duration time)
{
    looking_ = true;
    timer_.expires_after(time);
    timer_.async_wait([this, alive = std::weak_ptr<int>(alive_)](std::error_code cancelled) {
        if (cancelled || alive.expired())
            return;
        looking_ = false;
        look();
    });
}

void SpoolWatch::look()
{
    const auto unwritten = store_.unwritten();
    const bool late = unwritten && unwritten->age >= store::Store::patience;
    if (late)
        raise(*unwritten);
    else if (is_late())
        clear();
    if (late)
        look_in(look_interval);
    else if (unwritten)
        look_in(store::Store::patience - unwritten->age);
}

void SpoolWatch::raise(const store::Store::Unwritten& unwritten)
{
    const bool is_new = alarm_.empty();
    alarm_ = unwritten.reason.empty() ? "the disk is too slow" : unwritten.reason;
    if (!is_new)
        return;
    raised_ = BootClock::now();
    reported_ = unwritten.reason.empty();
    if (reported_)
        log::error("accounting: the disk has not taken a record within {} ms; records are kept in "
                   "memory and calls end without waiting for it",
                   store::Store::patience.count());
}

void SpoolWatch::clear()
{
    alarm_.clear();
    if (std::exchange(reported_, false))
        log::warning("accounting: the disk takes records in time again, after {} ms",
                     std::chrono::duration_cast<Milliseconds>(BootClock::now() - raised_).count());
}

} // namespace mediaproxy::accounting
