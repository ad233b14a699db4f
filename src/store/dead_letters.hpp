// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "store/sqlite.hpp"
#include "store/store.hpp"

namespace mediaproxy::store
{

/// The spool of a store as another process sees it, while a daemon uses it or not: what waits, and
/// the records that their back ends refused.
class DeadLetters
{
public:
    /// Makes no file and migrates none.
    static Result<DeadLetters> open(const std::string& path, Connection::Access access);

    Result<std::vector<Store::Count>> count();

    /// Empty: all.
    struct Which {
        std::string backend, record_id;
    };
    struct Letter {
        std::string_view backend, record_id, body;
        std::string_view reason; ///< empty: it waits
        bool refused = false;
        std::int64_t made_at = 0; ///< milliseconds since 1970
    };
    /// In their order: the refused ones, and what waits for back ends that are not among `known`.
    Result<void> each(const Which& which, const std::vector<std::string>& known,
                      const std::function<void(const Letter&)>& take);
    /// Puts refused records at the end of their back end's queue; how many. A daemon that runs
    /// finds them there.
    Result<std::uint64_t> retry(const Which& which);

private:
    explicit DeadLetters(Connection connection) : connection_(std::move(connection)) {}
    Connection connection_;
};

} // namespace mediaproxy::store
