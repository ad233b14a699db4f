// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace media_load
{

/// How long packets were under way, by the microsecond up to 65 ms.
class Latency
{
public:
    void add(std::int64_t nanoseconds) noexcept
    {
        const auto us = static_cast<std::size_t>(nanoseconds < 0 ? 0 : nanoseconds / 1000);
        ++counts_[us < counts_.size() ? us : counts_.size() - 1];
        ++total_;
    }

    /// Microseconds that `share` (0..1) of the packets did not exceed; 0 when there were none.
    std::size_t quantile(double share) const noexcept
    {
        auto rest = static_cast<std::uint64_t>(static_cast<double>(total_) * share);
        for (std::size_t us = 0; us < counts_.size(); ++us) {
            if (rest < counts_[us])
                return us;
            rest -= counts_[us];
        }
        return total_ == 0 ? 0 : counts_.size() - 1;
    }

private:
    std::array<std::uint32_t, 65536> counts_{};
    std::uint64_t total_ = 0;
};

} // namespace media_load
