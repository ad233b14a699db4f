// SPDX-License-Identifier: GPL-2.0-or-later
#include "reader.hpp"

#include <utility>

namespace forwarding_conntrack
{
namespace
{

constexpr std::size_t flows_a_turn = 128; ///< about 0.3 ms

} // namespace

Reader::Reader(const mp_host* host, const mp_flow_events* events, const FlowTable& flows,
               LookAfter look_after)
    : host_(host), events_(events), flows_(flows), look_after_(std::move(look_after))
{
}

void Reader::read(std::uint64_t request)
{
    const bool idle = under_way_.empty() && waiting_.empty();
    waiting_.push_back(request);
    if (idle)
        begin();
}

void Reader::begin()
{
    under_way_.swap(waiting_);
    ids_ = flows_.ids();
    next_ = 0;
    step_later();
}

void Reader::step_later()
{
    host_->post(
        host_, [](void* self) { static_cast<Reader*>(self)->step(); }, this);
}

void Reader::step()
{
    piece_.clear();
    for (; next_ < ids_.size() && piece_.size() < flows_a_turn; ++next_) {
        if (Flow* flow = flows_.find(ids_[next_]); flow != nullptr)
            piece_.push_back(flow);
    }
    look_after_(piece_);
    readings_.clear();
    for (const Flow* flow : piece_)
        readings_.push_back(flow->reading());
    const bool last = next_ == ids_.size();
    events_->readings(host_, under_way_.back(), readings_.data(),
                      static_cast<std::uint32_t>(readings_.size()), last ? 1 : 0);
    if (!last) {
        step_later();
        return;
    }
    under_way_.pop_back();
    for (const std::uint64_t request : std::exchange(under_way_, {}))
        events_->readings(host_, request, nullptr, 0, 1);
    if (!waiting_.empty())
        begin();
}

} // namespace forwarding_conntrack
