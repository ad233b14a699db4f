// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "store/options.hpp"

namespace mediaproxy::store
{

/// What must survive the process: tables of state (key -> value) and the spool of accounting
/// records, in one SQLite file. Writes go into a journal (journal.hpp), where they survive kill -9
/// at once, and are committed in groups by a writer thread, so no call blocks that does not say so;
/// a power cut they survive after `sync_interval`. A disk that fails is logged once and tried
/// again; without a journal, or when that is full, writes survive once they are committed. Reads
/// see what is committed. A damaged file is set aside and what can be read of it is saved, at the
/// start and later. All functions may be called from any thread.
class Store
{
public:
    /// Opens or makes the file, which only one process may have at a time. May block.
    static Result<std::unique_ptr<Store>> open(const std::string& path, Options options = {});
    /// Commits what waits, once; what cannot be written then is lost and logged.
    ~Store();
    Store(const Store&) = delete;
    Store& operator=(const Store&) = delete;

    /// Nothing survives or is committed until release(), so that what belongs together stays
    /// together, or flush(). For one thread.
    void hold();
    void release();

    // State. Of the writes to a key that wait, the last one counts,
    // and a value that is erased before it was committed never touches the disk.
    void save(std::string_view table, std::string_view key, std::string value);
    void erase(std::string_view table, std::string_view key);
    using Each = std::function<void(std::string_view key, std::string_view value)>;
    /// For the start, before the table is written to. Blocks.
    Result<void> load_all(std::string_view table, const Each& each);

    // The spool. A record is kept until its back end is done with it.
    struct Record {
        std::uint64_t sequence = 0;
        std::string record_id;
        std::string body;
    };
    /// Unavailable when records that cannot be written fill the memory set aside for them.
    Result<void> put_record(const std::vector<std::string>& backends, std::string_view record_id,
                            std::string_view body);
    /// Those of `backend` that are neither done nor parked, in their order, from behind the
    /// sequence number `after`. Blocks: for a worker thread.
    Result<std::vector<Record>> waiting(std::string_view backend, std::uint64_t after,
                                        std::size_t most);
    void done(std::uint64_t sequence);
    /// The back end will never take it: it stays in the spool for a person to look at.
    void park(std::uint64_t sequence, std::string_view reason);
    struct Count {
        std::string backend;
        std::uint64_t waiting = 0, parked = 0;
        std::int64_t oldest = 0; ///< when the first that waits was made, as unstepped_time()
    };
    /// Every back end that has records in the spool. Blocks.
    Result<std::vector<Count>> count();
    /// The same as it was some time ago, half a second if the spool is not huge. Does not block.
    std::vector<Count> last_count() const;
    struct Unwritten {
        std::uint64_t records = 0;
        Duration age{};     ///< of the oldest
        std::string reason; ///< of the failure; empty: the disk may be slow
    };
    /// So long a record may wait for its commit; then the disk is late.
    static constexpr Milliseconds patience{200};
    /// Records that are not committed; nothing: all are.
    std::optional<Unwritten> unwritten() const;
    /// Called from the writer thread after each commit that brought records. None: no call.
    using Listener = std::function<void()>;
    void listen(std::string backend, Listener listener);

    /// Calls `done` once, from the writer thread or at once, when every write before survives the
    /// process, and a power cut soon: not while the disk fails or is late. Never when the store
    /// closes first. `done` must not call the store.
    void when_durable(std::function<void()> done);
    /// Waits until everything queued before is committed, at most that long. Blocks.
    Result<void> flush(Milliseconds most);
    /// What is committed has been brought to the disk too.
    bool is_synced() const;

    // Numbers that no earlier start of this store has given out.
    /// For session::FlowId and the like: count up from here.
    std::uint64_t first_id() const noexcept;
    /// Put a counter behind it.
    const std::string& record_id_prefix() const noexcept;

private:
    struct State;
    explicit Store(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

} // namespace mediaproxy::store
