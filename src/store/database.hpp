// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "store/changes.hpp"
#include "store/sqlite.hpp"
#include "store/store.hpp"

namespace mediaproxy::store
{

/// The store's tables over one connection. One thread at a time.
class Database
{
public:
    /// Makes or migrates the tables; refuses those of a newer version. A damaged file is `invalid`.
    static Result<Database> open(const std::string& path);

    /// One transaction. It survives the process; over a power cut when the WAL was synced since.
    Result<void> commit(const Changes& changes);
    /// Of the batch that was committed last, where any had one.
    Result<BatchNumber> last_batch();
    /// A number above those of all earlier starts, at least `least`.
    Result<std::uint64_t> count_start(std::uint64_t least);
    /// Sequence numbers go on from there at least.
    Result<void> raise_sequence(std::uint64_t least);

    Result<void> load_keys(KeysOnDisk& on_disk);
    Result<void> load_all(std::string_view table, const Store::Each& each);
    Result<std::vector<Store::Record>> waiting(std::string_view backend, std::uint64_t after,
                                               std::size_t most);
    Result<std::vector<Store::Count>> count();

    Connection& connection() noexcept { return connection_; }

private:
    struct Statements {
        Statement begin, commit, save, erase, put, done, park;
    };
    Database(Connection connection, Statements statements)
        : connection_(std::move(connection)), statements_(std::move(statements))
    {
    }
    bool write(const Changes& changes);

    Connection connection_;
    Statements statements_; // after the connection: finished first
};

/// Every back end that has rows in the spool behind `connection`.
Result<std::vector<Store::Count>> count_spool(Connection& connection);

} // namespace mediaproxy::store
