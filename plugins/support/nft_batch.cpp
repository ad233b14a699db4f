// SPDX-License-Identifier: GPL-2.0-or-later
#include "support/nft_batch.hpp"

#include <cstring>

#include <libmnl/libmnl.h>
#include <libnftnl/common.h>

namespace mediaproxy::plugin_support
{

NftBatch::NftBatch(NetlinkSocket& socket)
    : socket_(socket), buffer_(std::make_unique_for_overwrite<std::byte[]>(capacity))
{
}

void NftBatch::begin()
{
    size_ = 0;
    last_ = nftnl_batch_begin(reinterpret_cast<char*>(buffer_.get()), socket_.next_sequence());
}

nlmsghdr& NftBatch::add(std::uint16_t type, std::uint8_t family, std::uint16_t flags)
{
    close_last();
    sequence_ = socket_.next_sequence();
    last_ = nftnl_nlmsg_build_hdr(reinterpret_cast<char*>(buffer_.get() + size_), type, family,
                                  flags, sequence_);
    return *last_;
}

NftBatch::Outcome NftBatch::commit(const NetlinkSocket::OnMessage& on_message)
{
    close_last();
    last_ =
        nftnl_batch_end(reinterpret_cast<char*>(buffer_.get() + size_), socket_.next_sequence());
    close_last();
    Outcome outcome;
    refusals_.clear();
    const int error = socket_.exchange({buffer_.get(), size_}, [&](const nlmsghdr& message) {
        const int refused = error_of(message);
        if (refused != 0)
            refusals_.push_back({refused, message.nlmsg_seq});
        if (refused != 0 && outcome.error == 0)
            outcome = {refused, message.nlmsg_seq};
        else if (refused == 0 && on_message)
            on_message(message);
    });
    // Without its answers a transaction may have been carried out or not: the caller looks.
    if (outcome.ok() && error != 0)
        outcome.error = error;
    return outcome;
}

void NftBatch::close_last() noexcept
{
    if (last_ != nullptr)
        size_ += MNL_ALIGN(last_->nlmsg_len);
    last_ = nullptr;
}

} // namespace mediaproxy::plugin_support
