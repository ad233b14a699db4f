// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/log.hpp"

namespace mediaproxy::fakes
{

/// Takes the daemon's log lines as long as it lives.
class CapturedLog
{
public:
    CapturedLog()
    {
        log::set_sink([kept = kept_](log::Level, std::string_view line) {
            const std::lock_guard lock(kept->mutex);
            kept->lines.emplace_back(line);
        });
    }
    ~CapturedLog() { log::set_sink({}); }
    CapturedLog(const CapturedLog&) = delete;
    CapturedLog& operator=(const CapturedLog&) = delete;

    std::vector<std::string> lines() const
    {
        const std::lock_guard lock(kept_->mutex);
        return kept_->lines;
    }
    std::size_t count(const std::string& part) const
    {
        std::size_t found = 0;
        for (const std::string& line : lines())
            found += line.find(part) != std::string::npos ? 1 : 0;
        return found;
    }

private:
    struct Kept {
        std::mutex mutex;
        std::vector<std::string> lines;
    };
    std::shared_ptr<Kept> kept_ = std::make_shared<Kept>();
};

} // namespace mediaproxy::fakes
