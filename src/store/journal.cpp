// SPDX-License-Identifier: GPL-2.0-or-later
// The file is two segments. A segment is a row of entries, each of them a head and changes; the row
// ends where a head is not what follows. Its numbers are those of this host: nobody else reads it.
#include "store/journal.hpp"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <optional>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#include "base/unique_fd.hpp"

namespace mediaproxy::store
{

namespace
{

constexpr std::size_t file_size = 2 * Journal::batch_capacity;

struct Head {
    std::uint64_t checksum; ///< of all that follows; written last
    BatchNumber number;
    std::uint32_t entry; ///< 0 is the first of its batch
    std::uint32_t size;  ///< of its changes, bytes
};
static_assert(sizeof(Head) == 32);

enum class Kind : char { save = 's', erase = 'e', record = 'r' };

/// FNV-1a over words of eight bytes: what a power cut leaves half written is not read.
std::uint64_t checksum(std::span<const std::byte> bytes)
{
    std::uint64_t sum = 0xcbf29ce484222325;
    while (!bytes.empty()) {
        std::uint64_t word = 0;
        const std::size_t size = std::min(bytes.size(), sizeof word);
        std::memcpy(&word, bytes.data(), size);
        sum = (sum ^ word) * 0x100000001b3;
        sum ^= sum >> 32U;
        bytes = bytes.subspan(size);
    }
    return sum | 1U; // never 0, which is what an empty segment begins with
}

std::size_t padded(std::size_t size)
{
    return (size + 7) / 8 * 8;
}

/// Reads what Journal::put() and put_number() have written.
class Reader
{
public:
    explicit Reader(std::string_view bytes) : left_(bytes) {}

    bool at_end() const { return left_.empty(); }
    std::optional<std::string_view> take(std::size_t size)
    {
        if (left_.size() < size)
            return std::nullopt;
        const auto taken = left_.substr(0, size);
        left_.remove_prefix(size);
        return taken;
    }
    std::optional<std::uint64_t> number()
    {
        std::uint64_t value = 0;
        const auto bytes = take(sizeof value);
        if (!bytes)
            return std::nullopt;
        std::memcpy(&value, bytes->data(), sizeof value);
        return value;
    }
    std::optional<std::string_view> text()
    {
        const auto size = number();
        return size ? take(*size) : std::nullopt;
    }

private:
    std::string_view left_;
};

bool read_record(Reader& reader, Changes& changes)
{
    const auto made_at = reader.number();
    const auto record_id = reader.text();
    const auto body = reader.text();
    auto count = reader.number();
    if (!made_at || !record_id || !body || !count)
        return false;
    for (; *count > 0; --*count) {
        const auto backend = reader.text();
        if (!backend)
            return false;
        changes.put_record({std::string(*backend)}, *record_id, *body,
                           static_cast<std::int64_t>(*made_at));
    }
    return true;
}

bool read_change(Reader& reader, Changes& changes)
{
    const Kind kind{reader.take(1)->front()};
    if (kind == Kind::record)
        return read_record(reader, changes);
    const auto table = reader.text();
    const auto key = reader.text();
    if (!table || !key)
        return false;
    std::optional<std::string> value;
    if (kind == Kind::save) {
        const auto text = reader.text();
        if (!text)
            return false;
        value = std::string(*text);
    } else if (kind != Kind::erase) {
        return false;
    }
    changes.state.insert_or_assign(Changes::join(*table, *key), std::move(value));
    return true;
}

bool read_entry(std::string_view bytes, Changes& changes)
{
    Reader reader(bytes);
    while (!reader.at_end()) {
        if (!read_change(reader, changes))
            return false;
    }
    return true;
}

/// Nothing in it: no batch.
std::optional<Changes> read_segment(std::span<const std::byte> segment)
{
    std::optional<Changes> left;
    Head head{};
    for (std::uint32_t entry = 0; segment.size() >= sizeof head; ++entry) {
        std::memcpy(&head, segment.data(), sizeof head);
        if (head.checksum == 0 || head.entry != entry || head.size > segment.size() - sizeof head)
            break;
        const auto all = segment.first(sizeof head + head.size);
        if (checksum(all.subspan(sizeof head.checksum)) != head.checksum ||
            (left && left->number != head.number))
            break;
        if (!left)
            left.emplace().number = head.number;
        const auto changes = all.subspan(sizeof head);
        if (!read_entry({reinterpret_cast<const char*>(changes.data()), changes.size()}, *left))
            break;
        segment = segment.subspan(std::min(segment.size(), padded(all.size())));
    }
    return left;
}

/// For the signal's handler: where to go on.
thread_local sigjmp_buf* volatile rescue = nullptr;

/// What is written before it is written before the signal, what comes after it after.
void order_for_signals()
{
    std::atomic_signal_fence(std::memory_order_seq_cst);
}

void on_bus_error(int number)
{
    if (rescue != nullptr)
        siglongjmp(*rescue, 1);
    (void)std::signal(number, SIG_DFL); // not ours: the same again ends the process
}

void catch_bus_errors()
{
    struct sigaction action = {};
    action.sa_handler = on_bus_error;
    action.sa_flags = SA_NODEFER; // it is left by a jump
    (void)::sigaction(SIGBUS, &action, nullptr);
}

/// `act` writes to mapped memory and does nothing else: it is left in the middle when there is no
/// file behind that, which returns false.
template <class Act>
bool write_mapped(const Act& act)
{
    sigjmp_buf here;
    if (sigsetjmp(here, 0) != 0) {
        rescue = nullptr;
        return false;
    }
    rescue = &here;
    order_for_signals();
    act();
    order_for_signals();
    rescue = nullptr;
    return true;
}

Error failure(const std::string& path)
{
    return {Error::Code::io, path + ": " + std::strerror(errno)};
}

Result<std::vector<std::byte>> read_file(int file, const std::string& path)
{
    std::vector<std::byte> bytes(file_size);
    std::size_t size = 0;
    while (size < bytes.size()) {
        const ssize_t more = ::read(file, bytes.data() + size, bytes.size() - size);
        if (more < 0 && errno == EINTR)
            continue;
        if (more < 0)
            return failure(path);
        if (more == 0)
            break;
        size += static_cast<std::size_t>(more);
    }
    bytes.resize(size);
    return bytes;
}

} // namespace

Result<std::vector<Changes>> Journal::read(const std::string& path)
{
    std::vector<Changes> batches;
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file && errno == ENOENT)
        return batches;
    if (!file)
        return failure(path);
    const auto bytes = read_file(file.get(), path);
    if (!bytes)
        return bytes.error();
    for (std::size_t at = 0; at < bytes->size(); at += batch_capacity) {
        const auto rest = std::span(*bytes).subspan(at);
        if (auto left = read_segment(rest.first(std::min(rest.size(), batch_capacity))))
            batches.push_back(*std::move(left));
    }
    std::sort(batches.begin(), batches.end(),
              [](const Changes& one, const Changes& other) { return one.number < other.number; });
    return batches;
}

Result<Journal> Journal::make(const std::string& path)
{
    const UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0640));
    if (!file)
        return failure(path);
    // All of it now: a page that the disk has no room for would be a signal later.
    if (const int error = ::posix_fallocate(file.get(), 0, off_t{file_size}); error != 0) {
        errno = error;
        Error reason = failure(path);
        (void)::unlink(path.c_str());
        return reason;
    }
    void* memory = ::mmap(nullptr, file_size, PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (memory == MAP_FAILED)
        return failure(path);
    catch_bus_errors();
    (void)::madvise(memory, file_size,
                    MADV_RANDOM); // a page at a time: mostly the first ones are used
    return Journal(static_cast<std::byte*>(memory));
}

void Journal::Unmap::operator()(std::byte* memory) const noexcept
{
    ::munmap(memory, file_size);
}

std::span<std::byte> Journal::segment(std::size_t which) const
{
    return {memory_.get() + which * batch_capacity, batch_capacity};
}

void Journal::begin(BatchNumber number)
{
    gathering_ = 1 - gathering_;
    number_ = number;
    used_ = entries_ = 0;
    full_ = is_lost_;
}

void Journal::end()
{
    empty(1 - gathering_);
}

void Journal::empty(std::size_t which)
{
    std::byte* const at = segment(which).data();
    constexpr std::uint64_t no_checksum = 0;
    if (!write_mapped([&] { std::memcpy(at, &no_checksum, sizeof no_checksum); }))
        is_lost_ = full_ = true;
}

void Journal::discard()
{
    entry_.clear();
    if (used_ == 0)
        return;
    used_ = entries_ = 0;
    full_ = is_lost_;
    empty(gathering_);
}

bool Journal::trim()
{
    if (touched_ <= kept_by_trim)
        return false;
    for (const std::size_t which : {0U, 1U}) {
        const auto rest = segment(which).subspan(kept_by_trim);
        (void)::madvise(rest.data(), rest.size(), MADV_DONTNEED); // the file keeps what it has
    }
    touched_ = used_;
    entry_.shrink_to_fit();
    return true;
}

void Journal::put(std::string_view bytes)
{
    put_number(bytes.size());
    entry_.append(bytes);
}

void Journal::put_number(std::uint64_t number)
{
    entry_.append(reinterpret_cast<const char*>(&number), sizeof number);
}

void Journal::save(std::string_view table, std::string_view key, std::string_view value)
{
    entry_.push_back(static_cast<char>(Kind::save));
    put(table);
    put(key);
    put(value);
}

void Journal::erase(std::string_view table, std::string_view key)
{
    entry_.push_back(static_cast<char>(Kind::erase));
    put(table);
    put(key);
}

void Journal::put_record(const std::vector<std::string>& backends, std::string_view record_id,
                         std::string_view body, std::int64_t made_at)
{
    entry_.push_back(static_cast<char>(Kind::record));
    put_number(static_cast<std::uint64_t>(made_at));
    put(record_id);
    put(body);
    put_number(backends.size());
    for (const std::string& backend : backends)
        put(backend);
}

bool Journal::write()
{
    if (entry_.empty())
        return !full_;
    const std::size_t size = sizeof(Head) + entry_.size();
    const auto room = segment(gathering_).subspan(used_);
    full_ = full_ || room.size() < size; // an entry without those before it is worth nothing
    if (!full_) {
        const Head head{0, number_, entries_, static_cast<std::uint32_t>(entry_.size())};
        const std::byte* const from = reinterpret_cast<const std::byte*>(&head);
        const bool written = write_mapped([&] {
            std::memcpy(room.data() + sizeof head, entry_.data(), entry_.size());
            std::memcpy(room.data() + sizeof head.checksum, from + sizeof head.checksum,
                        sizeof head - sizeof head.checksum);
            const std::uint64_t sum = checksum(room.first(size).subspan(sizeof head.checksum));
            order_for_signals(); // a kill is one, too
            std::memcpy(room.data(), &sum, sizeof sum);
        });
        is_lost_ = full_ = !written;
        ++entries_;
        used_ += padded(size);
        touched_ = std::max(touched_, used_);
    }
    entry_.clear();
    return !full_;
}

} // namespace mediaproxy::store
