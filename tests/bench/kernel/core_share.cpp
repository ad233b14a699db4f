// SPDX-License-Identifier: GPL-2.0-or-later
// Whether somebody else uses the core that this runs on, as another guest of the host on its second
// hardware thread: the two share the second-level cache. Prints what a dependent load from three
// quarters of that cache takes, as a multiple of one from a quarter: about 1.6 alone, 3 when half
// of it is somebody else's; 0 where the size of the cache is not known.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <numeric>
#include <random>
#include <thread>
#include <vector>

#include <unistd.h>

namespace
{

constexpr std::size_t line = 64, loads = 50'000, looks = 15;

/// A ring through all lines of so much memory, in random order.
class Ring
{
public:
    explicit Ring(std::size_t bytes) : lines_(bytes / line)
    {
        std::vector<std::size_t> order(lines_.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::shuffle(order.begin(), order.end(), std::mt19937(1));
        for (std::size_t i = 0; i < order.size(); ++i)
            lines_[order[i]].next = &lines_[order[(i + 1) % order.size()]];
    }

    /// Seconds that `loads` loads take when everything has been loaded before.
    double walk()
    {
        follow(lines_.size());
        const auto begin = std::chrono::steady_clock::now();
        follow(loads);
        return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }

private:
    struct alignas(line) Line {
        Line* next;
    };

    void follow(std::size_t count)
    {
        Line* volatile end = &lines_[0];
        Line* at = end;
        for (std::size_t i = 0; i < count; ++i)
            at = at->next;
        end = at;
    }

    std::vector<Line> lines_;
};

} // namespace

int main()
{
    const long cache = sysconf(_SC_LEVEL2_CACHE_SIZE);
    if (cache <= 0) {
        std::puts("0");
        return 0;
    }
    Ring quarter(static_cast<std::size_t>(cache) / 4),
        most(static_cast<std::size_t>(cache) / 4 * 3);
    std::array<double, looks> multiples{};
    for (double& multiple : multiples) { // spread over a tenth of a second, as others come and go
        multiple = most.walk() / quarter.walk();
        std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    std::sort(multiples.begin(), multiples.end());
    std::printf("%.2f\n", multiples[looks / 2]);
    return 0;
}
