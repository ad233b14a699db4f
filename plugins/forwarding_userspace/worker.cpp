// SPDX-License-Identifier: GPL-2.0-or-later
#include "worker.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string>

#include <pthread.h>
#include <sys/eventfd.h>

namespace forwarding_userspace
{
namespace
{

/// The daemon's signals are the core thread's business: threads made in this scope take none.
class SignalsBlocked
{
public:
    SignalsBlocked()
    {
        sigset_t all;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before_);
    }
    ~SignalsBlocked() { pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

private:
    sigset_t before_{};
};

void relax()
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

} // namespace

std::unique_ptr<Worker> Worker::start(HostLink host, Gso gso, EngineFactory factory, unsigned index,
                                      mp_error& error)
{
    UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (wake.value() < 0) {
        std::snprintf(error.message, sizeof error.message, "eventfd: %s", std::strerror(errno));
        return nullptr;
    }
    std::unique_ptr<Worker> worker(new Worker(host, std::move(wake)));
    {
        const SignalsBlocked blocked;
        worker->thread_ = std::thread([&, self = worker.get()] { self->run(gso, factory, error); });
    }
    pthread_setname_np(worker->thread_.native_handle(),
                       ("forward-" + std::to_string(index)).c_str());
    worker->ready_.wait(0);
    return worker->ready_.load() > 0 ? std::move(worker) : nullptr;
}

Worker::~Worker()
{
    stopping_.store(true);
    notify();
    thread_.join();
}

Worker::Ticket Worker::post(Command command)
{
    const std::lock_guard lock(mutex_);
    queued_.push_back(std::move(command));
    return ++posted_;
}

void Worker::notify_if_posted()
{
    if (notified_ == posted_)
        return;
    notified_ = posted_;
    notify();
}

void Worker::notify()
{
    attention_.store(true);
    // Sequentially consistent, as in loop(): either it sees attention_ or we see it asleep.
    if (!asleep_.load())
        return;
    const std::uint64_t one = 1;
    [[maybe_unused]] const ssize_t written = write(wake_.value(), &one, sizeof one);
}

void Worker::await(Ticket ticket)
{
    // Spinning saves a wake-up while the worker runs on another CPU, and is in vain on the same.
    constexpr unsigned least = 16;
    constexpr unsigned most = 2048;
    const auto reached = [&](Ticket done) { return static_cast<std::int32_t>(done - ticket) >= 0; };
    for (unsigned i = 0; i < patience_; ++i) {
        if (reached(done_.load(std::memory_order_acquire))) {
            patience_ = std::min(2 * patience_, most);
            return;
        }
        relax();
    }
    patience_ = std::max(patience_ / 2, least);
    awaited_.store(true);
    for (Ticket done = done_.load(); !reached(done); done = done_.load())
        done_.wait(done);
    awaited_.store(false);
}

void Worker::run(Gso gso, EngineFactory factory, mp_error& error)
{
    engine_ = factory({host_, gso, wake_.value(), attention_}, error);
    const bool made = engine_ != nullptr;
    ready_.store(made ? 1 : -1);
    ready_.notify_one();
    if (!made)
        return;
    loop();
    engine_->detach(flows_);
    engine_.reset();
}

void Worker::loop()
{
    while (!stopping_.load(std::memory_order_relaxed)) {
        asleep_.store(true);
        const auto how = attention_.load() ? Wait::never : Wait::for_work;
        engine_->wait(how);
        asleep_.store(false, std::memory_order_relaxed);
        engine_->process();
        if (attention_.load())
            execute_pending();
    }
    execute_pending();
}

void Worker::execute_pending()
{
    attention_.store(false);
    {
        const std::lock_guard lock(mutex_);
        taken_.swap(queued_);
    }
    if (taken_.empty())
        return;
    engine_->flush();
    for (std::size_t i = 0; i < taken_.size(); ++i) {
        const bool first_removal = taken_[i].kind == Command::Kind::remove &&
                                   (i == 0 || taken_[i - 1].kind != Command::Kind::remove);
        if (first_removal)
            remove_all(i);
        execute(taken_[i]);
    }
    const auto count = static_cast<Ticket>(taken_.size());
    taken_.clear();
    done_.fetch_add(count);
    done_.notify_one();
    // On a shared CPU a busy worker would use up its time slice first.
    if (awaited_.load())
        std::this_thread::yield();
}

void Worker::execute(const Command& command)
{
    switch (command.kind) {
    case Command::Kind::install:
        command.flow->place = flows_.size();
        flows_.push_back(command.flow);
        return engine_->attach(*command.flow);
    case Command::Kind::replace:
        replace(*command.flow, *command.move);
        *command.reading = command.flow->reading();
        return;
    case Command::Kind::remove:
        *command.reading = command.flow->reading();
        return;
    case Command::Kind::read:
        return answer(*command.request);
    }
}

/// Detaches the flows of all removals that follow each other from `from` on, in one go.
void Worker::remove_all(std::size_t from)
{
    removing_.clear();
    for (std::size_t i = from; i < taken_.size() && taken_[i].kind == Command::Kind::remove; ++i) {
        removing_.push_back(taken_[i].flow);
        forget(*taken_[i].flow);
    }
    engine_->detach(removing_);
}

void Worker::forget(const Flow& flow)
{
    Flow* last = flows_.back();
    flows_[flow.place] = last;
    last->place = flow.place;
    flows_.pop_back();
}

/// In between packets wait in the sockets.
void Worker::replace(Flow& flow, const Move& move)
{
    Flow* const one[] = {&flow};
    engine_->detach(one);
    flow.move_to(move);
    engine_->attach(flow);
}

void Worker::answer(ReadRequest& request)
{
    constexpr std::size_t piece_size = 256;
    std::array<mp_flow_reading, piece_size> piece;
    for (std::size_t i = 0; i < flows_.size(); i += piece_size) {
        const std::size_t count = std::min(piece_size, flows_.size() - i);
        for (std::size_t k = 0; k < count; ++k)
            piece[k] = flows_[i + k]->reading();
        host_.readings(request.number, {piece.data(), count}, 0);
    }
    if (request.unanswered.fetch_sub(1) == 1)
        host_.readings(request.number, {piece.data(), 0}, 1);
}

} // namespace forwarding_userspace
