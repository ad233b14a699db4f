// SPDX-License-Identifier: GPL-2.0-or-later
#include "conformance/guest.hpp"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fmt/format.h>
#include <mutex>
#include <new>
#include <set>
#include <utility>

#include "base/text.hpp"

namespace mediaproxy::conformance
{

namespace
{

/// Every host that plugins may use now.
struct KnownHosts {
    std::mutex mutex;
    std::set<const mp_host*> hosts;
    Stage* stage = nullptr;
};

KnownHosts& known_hosts()
{
    static KnownHosts known;
    return known;
}

plugin::HostOptions host_options(const Subject& subject, std::string owner)
{
    plugin::HostOptions options;
    options.version = subject.version;
    options.owner = std::move(owner);
    options.state_dir = subject.state_dir;
    options.log = [](mp_log_level, std::string_view, std::string_view) {};
    return options;
}

std::size_t text_size(std::span<const mp_setting> settings)
{
    std::size_t size = 0;
    for (const mp_setting& setting : settings)
        size += std::strlen(setting.key) + std::strlen(setting.value) + 2;
    return size;
}

} // namespace

Guest::Guest(Stage& stage) : stage_(stage)
{
    const Subject& subject = stage.subject();
    stage.enter("dlopen", [&] {
        auto library = plugin::Library::open(subject.dir, subject.kind, subject.name);
        if (!library)
            stage.give_up(library.error().message);
        library_.emplace(*std::move(library));
    });
}

Guest::~Guest()
{
    stage_.enter("dlclose", [&] { library_.reset(); });
}

const void* Guest::interface(const char* id) const
{
    const void* found = nullptr;
    stage_.enter("get_interface", [&] { found = plugin().get_interface(id); });
    return found;
}

const mp_accounting& Guest::accounting() const
{
    return *static_cast<const mp_accounting*>(interface(MP_ACCOUNTING));
}

const mp_forwarding& Guest::forwarding() const
{
    return *static_cast<const mp_forwarding*>(interface(MP_FORWARDING));
}

struct WitnessHost::Abi : mp_host {
    WitnessHost* self;
};

WitnessHost::WitnessHost(Stage& stage, std::string owner, void* attachment)
    : stage_(stage), attachment_(attachment),
      inner_(stage.io(), stage.subject().name, host_options(stage.subject(), std::move(owner))),
      memory_("the mp_host", sizeof(Abi))
{
    auto* const abi = new (memory_.data()) Abi{};
    static_cast<mp_host&>(*abi) = *inner_.abi();
    abi->log = on_log;
    abi->post = on_post;
    abi->watch_fd = on_watch_fd;
    abi->unwatch_fd = on_unwatch_fd;
    abi->get_service = on_get_service;
    abi->self = this;
    memory_.protect();
    KnownHosts& known = known_hosts();
    const std::lock_guard held(known.mutex);
    known.hosts.insert(abi);
    known.stage = &stage;
}

WitnessHost::~WitnessHost()
{
    KnownHosts& known = known_hosts();
    const std::lock_guard held(known.mutex);
    known.hosts.erase(abi());
}

const mp_host* WitnessHost::abi() const noexcept
{
    return reinterpret_cast<const Abi*>(memory_.data());
}

WitnessHost& WitnessHost::of(const mp_host* host, const char* function)
{
    KnownHosts& known = known_hosts();
    const std::lock_guard held(known.mutex);
    if (!known.hosts.contains(host))
        known.stage->give_up(fmt::format(
            "called {} with an mp_host that is not the one that create() got", function));
    return *static_cast<const Abi*>(host)->self;
}

void* WitnessHost::attachment_of(const mp_host* host)
{
    return of(host, "an event").attachment_;
}

void WitnessHost::require_core_thread(const char* function) const
{
    if (!stage_.on_core_thread())
        stage_.fault(fmt::format("called {} from another thread than the core thread", function));
}

void WitnessHost::on_log(const mp_host* host, mp_log_level level, const char* message) noexcept
{
    const WitnessHost& self = of(host, "log");
    const std::string_view line = message != nullptr ? message : "";
    if (line.empty())
        self.stage_.fault("logged a line with nothing in it");
    if (!text::is_utf8(line))
        self.stage_.fault("logged a line that is not UTF-8: " + text::printable(line));
    if (line.find_first_of("\r\n") != line.npos)
        self.stage_.fault("logged a line with a newline in it: " + text::printable(line));
    if (level < MP_LOG_ERROR || level > MP_LOG_DEBUG)
        self.stage_.fault(fmt::format("logged a line of level {}, which there is not", level));
    self.inner_.abi()->log(self.inner_.abi(), level, message);
}

void WitnessHost::on_post(const mp_host* host, void (*fn)(void*), void* user) noexcept
{
    const WitnessHost& self = of(host, "post");
    if (fn == nullptr)
        self.stage_.give_up("posted no function");
    self.inner_.abi()->post(self.inner_.abi(), fn, user);
}

mp_status WitnessHost::on_watch_fd(const mp_host* host, int fd, std::uint32_t events,
                                   void (*fn)(void*, std::uint32_t), void* user,
                                   std::uint32_t* watch_id) noexcept
{
    const WitnessHost& self = of(host, "watch_fd");
    self.require_core_thread("watch_fd");
    const mp_status status =
        self.inner_.abi()->watch_fd(self.inner_.abi(), fd, events, fn, user, watch_id);
    if (status != MP_OK)
        self.stage_.fault(fmt::format("asked to watch descriptor {} for events {}: {}", fd, events,
                                      to_text(status)));
    return status;
}

void WitnessHost::on_unwatch_fd(const mp_host* host, std::uint32_t watch_id) noexcept
{
    const WitnessHost& self = of(host, "unwatch_fd");
    self.require_core_thread("unwatch_fd");
    self.inner_.abi()->unwatch_fd(self.inner_.abi(), watch_id);
}

const void* WitnessHost::on_get_service(const mp_host* host, const char*) noexcept
{
    of(host, "get_service");
    return nullptr;
}

PreparedSettings::PreparedSettings(const Guest& guest)
{
    const Subject& subject = guest.stage().subject();
    auto prepared = plugin::Settings::prepare(guest.plugin(), subject.name, subject.settings, "");
    if (!prepared)
        guest.stage().give_up(prepared.error().message);
    settings_.emplace(*std::move(prepared));
}

LentSettings::LentSettings(std::span<const mp_setting> settings)
    : count_(static_cast<std::uint32_t>(settings.size())),
      array_("the settings of create", settings.size_bytes()),
      texts_("the settings of create", text_size(settings)),
      data_(settings.empty() ? nullptr : reinterpret_cast<const mp_setting*>(array_.data()))
{
    auto* const copies = reinterpret_cast<mp_setting*>(array_.data());
    auto* texts = reinterpret_cast<char*>(texts_.data());
    const auto keep = [&](const char* text) {
        char* const kept = texts;
        texts = std::copy_n(text, std::strlen(text) + 1, texts);
        return kept;
    };
    for (std::size_t i = 0; i < settings.size(); ++i)
        copies[i] = {keep(settings[i].key), keep(settings[i].value)};
    array_.protect();
    texts_.protect();
}

} // namespace mediaproxy::conformance
