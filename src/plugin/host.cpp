// SPDX-License-Identifier: GPL-2.0-or-later
#include "plugin/host.hpp"

#include <asio/posix/stream_descriptor.hpp>
#include <asio/post.hpp>
#include <sys/stat.h>
#include <unordered_map>
#include <utility>

#include "base/log.hpp"
#include "base/text.hpp"
#include "plugin/boundary.hpp"

namespace mediaproxy::plugin
{

namespace
{

constexpr std::size_t longest_line = 4096;

void to_daemon_log(mp_log_level level, std::string_view plugin, std::string_view text)
{
    switch (level) {
    case MP_LOG_ERROR:
        return log::error("{}: {}", plugin, text);
    case MP_LOG_WARNING:
        return log::warning("{}: {}", plugin, text);
    case MP_LOG_INFO:
        return log::info("{}: {}", plugin, text);
    default:
        return log::debug("{}: {}", plugin, text);
    }
}

/// A plugin's descriptor in the core loop. The plugin owns it: it is released, never closed.
struct Watch : std::enable_shared_from_this<Watch> {
    Watch(asio::io_context& io, void (*call)(void*, std::uint32_t), void* argument)
        : descriptor(io), fn(call), user(argument)
    {
    }
    Watch(const Watch&) = delete;
    Watch& operator=(const Watch&) = delete;
    ~Watch() { stop(); }

    void stop()
    {
        active = false;
        if (descriptor.is_open())
            descriptor.release();
    }

    asio::posix::stream_descriptor descriptor;
    void (*fn)(void* user, std::uint32_t events);
    void* user;
    bool active = true;
};

} // namespace

/// Kept alive by what was posted, which looks at `closed` before it enters the plugin.
struct Host::State : std::enable_shared_from_this<State> {
    State(asio::io_context& core, std::string name, HostOptions given, void* attached)
        : io(core), instance(std::move(name)), options(std::move(given)), attachment(attached)
    {
        abi.self = this;
        abi.struct_size = sizeof(mp_host);
        abi.abi = MP_ABI_VERSION;
        abi.version = options.version.c_str();
        abi.owner = options.owner.c_str();
        abi.state_dir = options.state_dir.c_str();
        abi.log = &State::on_log;
        abi.post = &State::on_post;
        abi.watch_fd = &State::on_watch_fd;
        abi.unwatch_fd = &State::on_unwatch_fd;
        abi.get_service = &State::on_get_service;
        if (!options.log)
            options.log = to_daemon_log;
    }

    struct Abi : mp_host {
        State* self;
    };
    static State& of(const mp_host* host) noexcept { return *static_cast<const Abi*>(host)->self; }

    static void on_log(const mp_host* host, mp_log_level level, const char* message) noexcept
    {
        of(host).write(level, message != nullptr ? message : "");
    }

    static void on_post(const mp_host* host, void (*fn)(void*), void* user) noexcept
    {
        State& state = of(host);
        asio::post(state.io, [self = state.shared_from_this(), fn, user] {
            if (!self->closed)
                self->run([&] { fn(user); });
        });
    }

    static mp_status on_watch_fd(const mp_host* host, int fd, std::uint32_t events,
                                 void (*fn)(void*, std::uint32_t), void* user,
                                 std::uint32_t* watch_id) noexcept
    {
        State& state = of(host);
        constexpr std::uint32_t known = MP_FD_READ | MP_FD_WRITE;
        if (fd < 0 || fn == nullptr || watch_id == nullptr || (events & known) == 0 ||
            (events & ~known) != 0)
            return MP_E_INVALID;
        // epoll has no readiness for these, which Asio says only when it waits.
        struct stat kind {
        };
        if (::fstat(fd, &kind) != 0 || S_ISREG(kind.st_mode) || S_ISDIR(kind.st_mode))
            return MP_E_UNSUPPORTED;
        const auto watch = std::make_shared<Watch>(state.io, fn, user);
        asio::error_code failed;
        watch->descriptor.assign(fd, failed);
        if (failed)
            return MP_E_INVALID;
        *watch_id = ++state.last_watch;
        state.watches.emplace(*watch_id, watch);
        for (const std::uint32_t event : {MP_FD_READ, MP_FD_WRITE}) {
            if ((events & event) != 0)
                state.wait(watch, event);
        }
        return MP_OK;
    }

    static void on_unwatch_fd(const mp_host* host, std::uint32_t watch_id) noexcept
    {
        State& state = of(host);
        if (const auto found = state.watches.find(watch_id); found != state.watches.end()) {
            found->second->stop();
            state.watches.erase(found);
        }
    }

    static const void* on_get_service(const mp_host* host, const char* id) noexcept
    {
        const auto& services = of(host).options.services;
        const auto found = services.find(id);
        return found == services.end() ? nullptr : found->second;
    }

    void write(mp_log_level level, std::string_view text) const
    {
        options.log(level, instance, text::printable(text, longest_line));
    }

    /// Enters the plugin from the loop; what it throws is its bug and stays here.
    template <class Call>
    void run(Call&& call)
    {
        const Outcome outcome = enter_plugin([&](mp_error*) {
            call();
            return MP_OK;
        });
        if (!outcome.ok())
            write(MP_LOG_ERROR, outcome.message);
    }

    /// Waiting again after each call makes it level-triggered.
    void wait(const std::shared_ptr<Watch>& watch, std::uint32_t event)
    {
        const auto direction = event == MP_FD_READ ? asio::posix::stream_descriptor::wait_read
                                                   : asio::posix::stream_descriptor::wait_write;
        watch->descriptor.async_wait(
            direction, [self = shared_from_this(), watch, event](const asio::error_code& failed) {
                if (failed || !watch->active)
                    return;
                self->run([&] { watch->fn(watch->user, event); });
                if (watch->active)
                    self->wait(watch, event);
            });
    }

    asio::io_context& io;
    std::string instance;
    HostOptions options;
    void* attachment;
    Abi abi{};
    bool closed = false; ///< core thread only
    std::uint32_t last_watch = 0;
    std::unordered_map<std::uint32_t, std::shared_ptr<Watch>> watches;
};

Host::Host(asio::io_context& io, std::string instance, HostOptions options, void* attachment)
    : state_(std::make_shared<State>(io, std::move(instance), std::move(options), attachment))
{
}

Host::~Host()
{
    state_->closed = true;
    for (auto& [id, watch] : state_->watches)
        watch->stop();
    state_->watches.clear();
}

const mp_host* Host::abi() const noexcept
{
    return &state_->abi;
}

const std::string& Host::instance() const noexcept
{
    return state_->instance;
}

void Host::log(mp_log_level level, std::string_view text) const
{
    state_->write(level, text);
}

void* Host::attachment_of(const mp_host* host) noexcept
{
    return State::of(host).attachment;
}

} // namespace mediaproxy::plugin
