// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include <linux/netlink.h>

#include "flow.hpp"
#include "kernel_entry.hpp"
#include "support/netlink_socket.hpp"

namespace forwarding_conntrack
{

using mediaproxy::plugin_support::NetlinkSocket;
using FlowSpan = std::span<Flow* const>;

/// The entries of connection tracking behind flows: one each, which translates source and
/// destination of both directions. They live in a zone of their own, where no other traffic of the
/// host can clash with them; the mark says whose they are. What concerns many flows goes to the
/// kernel in one system call. [core-thread]
class Entries
{
public:
    /// What became of one flow's entry. `error` is an errno: ENOENT when there is no entry of ours.
    struct State {
        int error = 0;
        BothWays traffic{};
        std::uint32_t timeout_s = 0; ///< until it would vanish
    };

    Entries(NetlinkSocket& socket, std::uint16_t zone, std::uint32_t mark);

    /// errors[i] is 0 or an errno: EEXIST when a packet of those endpoints is tracked already,
    /// ENOMEM when the table is full.
    void create(FlowSpan flows, int* errors);
    /// Deletes whatever is in the way of these flows' entries.
    void clear(FlowSpan flows);
    void read(FlowSpan flows, State* states);
    /// Reads and deletes: the last state.
    void take(FlowSpan flows, State* states);
    /// Sets the flows' own timeout.
    void prolong(FlowSpan flows);

    /// Everything of our mark, as flows with id 0 and with `seen` filled. 0 or an errno. May block.
    int list(std::vector<Flow>& found);

private:
    /// What came back for the `index`th message of the batch; an error or an entry.
    using OnAnswer = std::function<void(std::size_t index, const nlmsghdr&)>;

    struct Query {
        FlowSpan flows;
        State* states;
        bool and_delete;
    };
    void begin();
    nlmsghdr& add(std::uint16_t type, std::uint8_t family, std::uint16_t flags);
    int commit(const OnAnswer& on_answer);
    void add_delete(const Flow& flow, const mp_endpoint& source, const mp_endpoint& destination);
    int query(const Query& query);
    bool is_ours(const KernelEntry& entry) const;
    template <typename Each>
    void in_pieces(FlowSpan flows, Each&& each);

    NetlinkSocket& socket_;
    std::uint16_t zone_;
    std::uint32_t mark_;
    std::unique_ptr<std::byte[]> buffer_;
    std::size_t size_ = 0;
    nlmsghdr* last_ = nullptr;
    std::uint32_t first_sequence_ = 0;
    std::size_t messages_ = 0;
};

} // namespace forwarding_conntrack
