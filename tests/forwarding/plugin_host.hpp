// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <mediaproxy/forwarding.h>

namespace forwarding_test
{

using SettingList = std::vector<std::pair<std::string, std::string>>;

/// create() said no.
struct Refused : std::runtime_error {
    Refused(mp_status code, const char* message) : std::runtime_error(message), status(code) {}
    mp_status status;
};

struct Stray {
    mp_flow_id flow;
    std::uint32_t side;
    mp_endpoint from;
    std::string data;
};

/// Who the daemon is.
struct HostIdentity {
    std::string owner = "test";
    std::string state_dir;
};

/// The least daemon that a forwarding back end can live in: loads the shared object, makes one
/// instance and keeps what it reports.
class PluginHost
{
public:
    PluginHost(const std::string& path, const SettingList& settings, HostIdentity identity = {});
    PluginHost(const PluginHost&) = delete;
    PluginHost& operator=(const PluginHost&) = delete;
    ~PluginHost();

    const mp_plugin& plugin() const { return *plugin_; }
    std::uint32_t flags() const { return forwarding_->flags; }

    mp_status install(const mp_flow& flow, std::string* message = nullptr);
    /// One burst; what became of each.
    std::vector<mp_status> install(const std::vector<mp_flow>& flows,
                                   std::string* message = nullptr);
    mp_status replace(const mp_flow& flow, mp_flow_reading& until_now);
    mp_status remove(const std::vector<mp_flow_id>& ids, std::vector<mp_flow_reading>& finals);
    mp_flow_reading remove(mp_flow_id id);
    std::vector<mp_status> adopt(const std::vector<const mp_flow*>& flows,
                                 std::vector<mp_flow_reading>* so_far = nullptr);
    /// Stops the plugin and leaves its flows forwarding.
    void leave();

    /// Asks for all flows and waits for the last piece.
    std::map<mp_flow_id, mp_flow_reading> read();
    /// Asks for all flows and waits for nothing.
    void ask();

    /// From now on each stray does that too, on the thread that reports it: a worker's, which it
    /// can hold up.
    void on_stray(std::function<void()> act);

    /// Waits, a few seconds at most; true when so many have come.
    bool await_strays(std::size_t count);
    bool await_lost(std::size_t count);

    std::vector<Stray> strays();
    std::vector<mp_flow_id> lost();
    std::vector<std::string> log();
    bool logged(const std::string& part);

    /// Turns of the event loop until `reached`, a few seconds at most; true when it was.
    bool await(const std::function<bool()>& reached);
    /// Turns of the event loop until there is nothing to do; how often the plugin had put off work.
    std::size_t settle();

private:
    /// What callbacks get, with the way back. mp_host comes first.
    struct Bridge {
        mp_host host;
        PluginHost* self;
    };

    static PluginHost& of(const mp_host* host)
    {
        return *reinterpret_cast<const Bridge*>(host)->self;
    }
    void load(const std::string& path);
    void offer_services();
    void offer_events();
    void wake();
    struct Turn {
        std::size_t posted = 0, events = 0; ///< that were there
    };
    Turn turn(int patience_ms);

    void* library_ = nullptr;
    const mp_plugin* plugin_ = nullptr;
    const mp_forwarding* forwarding_ = nullptr;
    void* instance_ = nullptr;
    HostIdentity identity_;
    Bridge bridge_{};
    mp_flow_events events_{};

    struct Watch {
        int fd;
        void (*call)(void*, std::uint32_t);
        void* user;
    };
    std::map<std::uint32_t, Watch> watches_; ///< by number
    std::uint32_t last_watch_ = 0;
    int wake_ = -1; ///< an eventfd

    std::mutex mutex_; ///< for all below
    std::vector<std::pair<void (*)(void*), void*>> posted_;
    std::vector<std::string> log_;
    std::vector<Stray> strays_;
    std::function<void()> on_stray_;
    std::vector<mp_flow_id> lost_;
    std::map<mp_flow_id, mp_flow_reading> readings_;
    std::uint64_t request_ = 0;
    std::uint64_t answered_ = 0;
};

} // namespace forwarding_test
