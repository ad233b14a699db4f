// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <liburing.h>
#include <sys/mman.h>

namespace forwarding_userspace
{

/// The buffers that the kernel picks for received packets: a ring of `count` buffers of `size`
/// bytes. A buffer goes back once its packet is judged or the send from it was submitted.
class UringBuffers
{
public:
    static constexpr unsigned count = 4096; // a power of two; the kernel wants it
    static constexpr std::size_t size = 2048;
    static constexpr std::uint16_t group = 0;

    UringBuffers() = default;
    UringBuffers(const UringBuffers&) = delete;
    UringBuffers& operator=(const UringBuffers&) = delete;
    ~UringBuffers()
    {
        if (ring_ != nullptr)
            munmap(ring_, ring_bytes);
    }

    /// 0 or a negative errno.
    int register_with(io_uring& ring)
    {
        void* memory =
            mmap(nullptr, ring_bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
        if (memory == MAP_FAILED)
            return -ENOMEM;
        ring_ = static_cast<io_uring_buf_ring*>(memory);
        buffers_ = std::make_unique_for_overwrite<std::byte[]>(count * size);
        io_uring_buf_reg registration{};
        registration.ring_addr = reinterpret_cast<std::uintptr_t>(memory);
        registration.ring_entries = count;
        registration.bgid = group;
        if (const int result = io_uring_register_buf_ring(&ring, &registration, 0); result != 0)
            return result;
        io_uring_buf_ring_init(ring_);
        lent_.reserve(count);
        for (unsigned id = 0; id < count; ++id)
            put_back(static_cast<std::uint16_t>(id));
        publish();
        return 0;
    }

    std::byte* at(std::uint16_t id) { return buffers_.get() + id * size; }

    /// Gives the buffer back with the next publish().
    void put_back(std::uint16_t id)
    {
        io_uring_buf_ring_add(ring_, at(id), size, id, io_uring_buf_ring_mask(count),
                              static_cast<int>(added_++));
    }

    /// A send that the kernel has not seen yet reads this buffer.
    void lend(std::uint16_t id) { lent_.push_back(id); }

    /// All queued sends were submitted: they were carried out at once, none waits.
    void put_back_lent()
    {
        for (const std::uint16_t id : lent_)
            put_back(id);
        lent_.clear();
    }

    void publish()
    {
        if (added_ > 0)
            io_uring_buf_ring_advance(ring_, static_cast<int>(added_));
        added_ = 0;
    }

private:
    static constexpr std::size_t ring_bytes = count * sizeof(io_uring_buf);

    io_uring_buf_ring* ring_ = nullptr;
    std::unique_ptr<std::byte[]> buffers_;
    std::vector<std::uint16_t> lent_;
    unsigned added_ = 0;
};

} // namespace forwarding_userspace
