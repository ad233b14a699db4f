// SPDX-License-Identifier: GPL-2.0-or-later
#include "plugin_host.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include <dlfcn.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

namespace forwarding_test
{

PluginHost::PluginHost(const std::string& path, const SettingList& settings, HostIdentity identity)
    : identity_(std::move(identity)), wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK))
{
    load(path);
    offer_services();
    offer_events();
    std::vector<mp_setting> list;
    for (const auto& [key, value] : settings)
        list.push_back({key.c_str(), value.c_str()});
    mp_error error{};
    const mp_status status =
        forwarding_->create(&bridge_.host, &events_, list.data(),
                            static_cast<std::uint32_t>(list.size()), &instance_, &error);
    if (status != MP_OK) {
        close(wake_);
        throw Refused(status, error.message);
    }
}

void PluginHost::offer_services()
{
    bridge_.self = this;
    bridge_.host.struct_size = sizeof bridge_.host;
    bridge_.host.abi = MP_ABI_VERSION;
    bridge_.host.version = "test";
    bridge_.host.owner = identity_.owner.c_str();
    bridge_.host.state_dir = identity_.state_dir.c_str();
    bridge_.host.log = [](const mp_host* host, mp_log_level, const char* message) {
        PluginHost& self = of(host);
        const std::lock_guard lock(self.mutex_);
        self.log_.emplace_back(message);
    };
    bridge_.host.post = [](const mp_host* host, void (*call)(void*), void* user) {
        PluginHost& self = of(host);
        const std::lock_guard lock(self.mutex_);
        self.posted_.emplace_back(call, user);
        self.wake();
    };
    bridge_.host.watch_fd = [](const mp_host* host, int fd, std::uint32_t,
                               void (*call)(void*, std::uint32_t), void* user,
                               std::uint32_t* watch_id) -> mp_status {
        PluginHost& self = of(host);
        *watch_id = ++self.last_watch_;
        self.watches_[*watch_id] = {fd, call, user};
        return MP_OK;
    };
    bridge_.host.unwatch_fd = [](const mp_host* host, std::uint32_t watch_id) {
        of(host).watches_.erase(watch_id);
    };
    bridge_.host.get_service = [](const mp_host*, const char*) -> const void* { return nullptr; };
}

void PluginHost::offer_events()
{
    events_.struct_size = sizeof events_;
    events_.lost = [](const mp_host* host, mp_flow_id id, std::uint32_t) {
        PluginHost& self = of(host);
        const std::lock_guard lock(self.mutex_);
        self.lost_.push_back(id);
        self.wake();
    };
    events_.stray = [](const mp_host* host, mp_flow_id id, std::uint32_t side,
                       const mp_endpoint* from, const void* data, std::uint32_t size) {
        PluginHost& self = of(host);
        std::function<void()> act;
        {
            const std::lock_guard lock(self.mutex_);
            self.strays_.push_back({id, side, *from, {static_cast<const char*>(data), size}});
            self.wake();
            act = self.on_stray_;
        }
        if (act)
            act();
    };
    events_.readings = [](const mp_host* host, std::uint64_t request,
                          const mp_flow_reading* readings, std::uint32_t count,
                          std::uint32_t last) {
        PluginHost& self = of(host);
        const std::lock_guard lock(self.mutex_);
        for (std::uint32_t i = 0; i < count; ++i)
            self.readings_[readings[i].id] = readings[i];
        if (last == 1)
            self.answered_ = request;
        self.wake();
    };
}

PluginHost::~PluginHost()
{
    if (instance_ != nullptr)
        forwarding_->destroy(instance_, MP_DESTROY_REMOVE);
    close(wake_);
}

void PluginHost::leave()
{
    forwarding_->destroy(std::exchange(instance_, nullptr), MP_DESTROY_LEAVE);
}

void PluginHost::wake()
{
    const std::uint64_t one = 1;
    [[maybe_unused]] const auto written = write(wake_, &one, sizeof one);
}

PluginHost::Turn PluginHost::turn(int patience_ms)
{
    std::vector<pollfd> entries{{wake_, POLLIN, 0}};
    std::vector<std::uint32_t> numbers;
    for (const auto& [number, watch] : watches_) {
        entries.push_back({watch.fd, POLLIN, 0});
        numbers.push_back(number);
    }
    poll(entries.data(), entries.size(), patience_ms);
    std::uint64_t count = 0;
    [[maybe_unused]] const auto drained = ::read(wake_, &count, sizeof count);
    std::vector<std::pair<void (*)(void*), void*>> posted;
    {
        const std::lock_guard lock(mutex_);
        posted.swap(posted_);
    }
    for (const auto& [call, user] : posted)
        call(user);
    Turn done{posted.size(), 0};
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        const auto watch = watches_.find(numbers[i]);
        if (watch == watches_.end() || (entries[i + 1].revents & POLLIN) == 0)
            continue;
        watch->second.call(watch->second.user, MP_FD_READ);
        ++done.events;
    }
    return done;
}

void PluginHost::load(const std::string& path)
{
    // Never closed: sanitizers need the symbols at exit.
    library_ = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library_ == nullptr)
        throw std::runtime_error(dlerror());
    plugin_ = static_cast<const mp_plugin*>(dlsym(library_, MP_PLUGIN_SYMBOL));
    if (plugin_ == nullptr)
        throw std::runtime_error(dlerror());
    forwarding_ = static_cast<const mp_forwarding*>(plugin_->get_interface(MP_FORWARDING));
}

mp_status PluginHost::install(const mp_flow& flow, std::string* message)
{
    const mp_flow* const flows[] = {&flow};
    mp_status each = MP_OK;
    mp_error error{};
    const mp_status status = forwarding_->install(instance_, flows, 1, &each, &error);
    if (message != nullptr)
        *message = error.message;
    return status != MP_OK ? status : each;
}

std::vector<mp_status> PluginHost::install(const std::vector<mp_flow>& flows, std::string* message)
{
    std::vector<const mp_flow*> list;
    for (const mp_flow& flow : flows)
        list.push_back(&flow);
    std::vector<mp_status> each(flows.size(), MP_OK);
    mp_error error{};
    forwarding_->install(instance_, list.data(), static_cast<std::uint32_t>(list.size()),
                         each.data(), &error);
    if (message != nullptr)
        *message = error.message;
    return each;
}

mp_status PluginHost::replace(const mp_flow& flow, mp_flow_reading& until_now)
{
    mp_error error{};
    return forwarding_->replace(instance_, &flow, &until_now, &error);
}

mp_status PluginHost::remove(const std::vector<mp_flow_id>& ids,
                             std::vector<mp_flow_reading>& finals)
{
    finals.resize(ids.size());
    mp_error error{};
    return forwarding_->remove(instance_, ids.data(), static_cast<std::uint32_t>(ids.size()),
                               finals.data(), &error);
}

mp_flow_reading PluginHost::remove(mp_flow_id id)
{
    std::vector<mp_flow_reading> finals;
    if (remove({id}, finals) != MP_OK)
        throw std::runtime_error("remove failed");
    return finals.front();
}

std::vector<mp_status> PluginHost::adopt(const std::vector<const mp_flow*>& flows,
                                         std::vector<mp_flow_reading>* so_far)
{
    std::vector<mp_status> each(flows.size(), MP_OK);
    std::vector<mp_flow_reading> readings(flows.size());
    mp_error error{};
    forwarding_->adopt(instance_, flows.data(), static_cast<std::uint32_t>(flows.size()),
                       each.data(), readings.data(), &error);
    if (so_far != nullptr)
        *so_far = readings;
    return each;
}

void PluginHost::ask()
{
    {
        const std::lock_guard lock(mutex_);
        readings_.clear();
        ++request_;
    }
    mp_error error{};
    forwarding_->read(instance_, request_, &error);
}

std::map<mp_flow_id, mp_flow_reading> PluginHost::read()
{
    ask();
    if (!await([this] { return answered_ == request_; }))
        throw std::runtime_error("read() was not answered");
    const std::lock_guard lock(mutex_);
    return readings_;
}

void PluginHost::on_stray(std::function<void()> act)
{
    const std::lock_guard lock(mutex_);
    on_stray_ = std::move(act);
}

bool PluginHost::await_strays(std::size_t count)
{
    return await([this, count] { return strays_.size() >= count; });
}

bool PluginHost::await_lost(std::size_t count)
{
    return await([this, count] { return lost_.size() >= count; });
}

std::size_t PluginHost::settle()
{
    std::size_t posted = 0;
    for (Turn done{1, 0}; done.posted + done.events > 0;) {
        done = turn(0);
        posted += done.posted;
    }
    return posted;
}

bool PluginHost::await(const std::function<bool()>& reached)
{
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    for (;;) {
        {
            const std::lock_guard lock(mutex_);
            if (reached())
                return true;
        }
        if (std::chrono::steady_clock::now() >= end)
            return false;
        turn(100);
    }
}

std::vector<std::string> PluginHost::log()
{
    const std::lock_guard lock(mutex_);
    return log_;
}

bool PluginHost::logged(const std::string& part)
{
    const std::lock_guard lock(mutex_);
    return std::any_of(log_.begin(), log_.end(), [&](const std::string& line) {
        return line.find(part) != std::string::npos;
    });
}

std::vector<Stray> PluginHost::strays()
{
    const std::lock_guard lock(mutex_);
    return strays_;
}

std::vector<mp_flow_id> PluginHost::lost()
{
    const std::lock_guard lock(mutex_);
    return lost_;
}

} // namespace forwarding_test
