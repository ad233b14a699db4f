// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "plugin/source.hpp"

namespace mediaproxy::fakes
{

/// Collects what plugins log, from any thread.
class LogLines
{
public:
    struct Line {
        mp_log_level level;
        std::string plugin, text;
    };

    plugin::LogSink sink()
    {
        return [kept = kept_](mp_log_level level, std::string_view plugin, std::string_view text) {
            const std::lock_guard lock(kept->mutex);
            kept->lines.push_back({level, std::string(plugin), std::string(text)});
        };
    }
    std::vector<Line> all() const
    {
        const std::lock_guard lock(kept_->mutex);
        return kept_->lines;
    }
    std::size_t count(const std::string& part) const
    {
        std::size_t found = 0;
        for (const Line& line : all())
            found += line.text.find(part) != std::string::npos ? 1 : 0;
        return found;
    }

private:
    struct Kept {
        std::mutex mutex;
        std::vector<Line> lines;
    };
    std::shared_ptr<Kept> kept_ = std::make_shared<Kept>();
};

} // namespace mediaproxy::fakes
