// SPDX-License-Identifier: GPL-2.0-or-later
#include "config/keys.hpp"

#include "config/codec.hpp"

namespace mediaproxy::config
{

namespace
{

/// `place` gives the value's place in a Config, const or not.
template <class Codec, class Place>
Key key(std::string_view table, std::string_view name, Codec codec, Place place)
{
    return {table, name, codec.allowed(),
            [codec, place](Config& config, const Value& value) {
                auto read = codec.read(value);
                if (!read)
                    return Key::Verdict::refused;
                place(config) = std::move(*read);
                return Key::Verdict::taken;
            },
            [codec, place](const Config& config) { return codec.print(place(config)); }};
}

const Text path{"a path", Text::Empty::refused};
const Text optional_path{"a path, or \"\" for none"};

void add_common(std::vector<Key>& all)
{
    const Choice<Role> role{
        {{"dispatcher", Role::dispatcher}, {"relay", Role::relay}, {"both", Role::both}}};
    const Choice<log::Level> level{{{"CRITICAL", log::Level::critical},
                                    {"ERROR", log::Level::error},
                                    {"WARNING", log::Level::warning},
                                    {"INFO", log::Level::info},
                                    {"DEBUG", log::Level::debug}}};
    const Choice<LogTarget> target{{{"auto", LogTarget::automatic},
                                    {"stderr", LogTarget::standard_error},
                                    {"syslog", LogTarget::syslog},
                                    {"journal", LogTarget::journal}}};
    all.push_back(key(
        "", "role", role, [](auto& c) -> auto& { return c.role; }));
    all.push_back(key(
        "", "plugin_dir", path, [](auto& c) -> auto& { return c.plugin_dir; }));
    all.push_back(key(
        "", "runtime_dir", path, [](auto& c) -> auto& { return c.runtime_dir; }));
    all.push_back(key(
        "", "state_dir", path, [](auto& c) -> auto& { return c.state_dir; }));
    all.push_back(key(
        "", "busy_poll", CountOrAuto{Count{0, 1000}},
        [](auto& c) -> auto& { return c.busy_poll; }));
    all.push_back(key(
        "", "realtime", Flag{}, [](auto& c) -> auto& { return c.realtime; }));
    using Spool = store::Options::Spool;
    const Choice<Spool> spool{{{"disk", Spool::disk}, {"memory", Spool::memory}}};
    all.push_back(key(
        "store", "spool", spool, [](auto& c) -> auto& { return c.store.spool; }));
    all.push_back(key(
        "store", "sync_interval", Fraction{},
        [](auto& c) -> auto& { return c.store.sync_interval; }));
    all.push_back(key(
        "log", "level", level, [](auto& c) -> auto& { return c.log.level; }));
    all.push_back(key(
        "log", "target", target, [](auto& c) -> auto& { return c.log.target; }));
    all.push_back(key(
        "tls", "certs_path", path, [](auto& c) -> auto& { return c.tls.certs_path; }));
    all.push_back(key(
        "tls", "verify_interval", WholeSeconds{},
        [](auto& c) -> auto& { return c.tls.verify_interval; }));
}

void add_dispatcher(std::vector<Key>& all)
{
    const auto add = [&](std::string_view name, auto codec, auto place) {
        all.push_back(key(
            "dispatcher", name, codec, [place](auto& c) -> auto& { return place(c.dispatcher); }));
    };
    const Choice<std::string> balancing{
        {{"round-robin", "round-robin"}, {"least-sessions", "least-sessions"}}};
    const Text owner{"a user's name, or \"\""}, group{"a group's name, or \"\""};
    const Texts back_ends{"names of [accounting.NAME] tables"};
    add(
        "name", Text{}, [](auto& d) -> auto& { return d.name; });
    add(
        "socket_path", path, [](auto& d) -> auto& { return d.socket_path; });
    add(
        "socket_owner", owner, [](auto& d) -> auto& { return d.socket_owner; });
    add(
        "socket_group", group, [](auto& d) -> auto& { return d.socket_group; });
    add(
        "socket_mode", Mode{}, [](auto& d) -> auto& { return d.socket_mode; });
    add(
        "listen", Endpoints{}, [](auto& d) -> auto& { return d.listen; });
    add(
        "passport", PassportText{}, [](auto& d) -> auto& { return d.passport; });
    add(
        "request_deadline", Fraction{}, [](auto& d) -> auto& { return d.request_deadline; });
    add(
        "attempt_timeout", Fraction{}, [](auto& d) -> auto& { return d.attempt_timeout; });
    add(
        "relay_timeout", WholeSeconds{}, [](auto& d) -> auto& { return d.relay_timeout; });
    add(
        "relay_recover_interval", WholeSeconds{},
        [](auto& d) -> auto& { return d.relay_recover_interval; });
    add(
        "cleanup_dead_relays_after", WholeSeconds{},
        [](auto& d) -> auto& { return d.cleanup_dead_relays_after; });
    add(
        "cleanup_expired_sessions_after", WholeSeconds{},
        [](auto& d) -> auto& { return d.cleanup_expired_sessions_after; });
    add(
        "balancing", balancing, [](auto& d) -> auto& { return d.balancing; });
    add(
        "accounting", back_ends, [](auto& d) -> auto& { return d.accounting; });
}

void add_proxy(std::vector<Key>& all)
{
    using Kind = protocol::ProxyKind;
    const auto add = [&](std::string_view name, auto codec, auto place) {
        all.push_back(key(
            "dispatcher.proxy", name,
            codec, [place](auto& c) -> auto& { return place(c.dispatcher.proxy); }));
    };
    const Choice<Kind> kind{{{"auto", Kind::automatic},
                             {"kamailio", Kind::kamailio},
                             {"opensips", Kind::opensips},
                             {"opensips-3.0", Kind::opensips_3_0},
                             {"opensips-2.4", Kind::opensips_2_4}}};
    add(
        "socket_path", optional_path, [](auto& p) -> auto& { return p.socket_path; });
    add(
        "kind", kind, [](auto& p) -> auto& { return p.kind; });
    add(
        "reply_path", path, [](auto& p) -> auto& { return p.reply_path; });
    add(
        "timeout", Fraction{}, [](auto& p) -> auto& { return p.timeout; });
    add(
        "retries", Count{0, 20}, [](auto& p) -> auto& { return p.retries; });
}

void add_management(std::vector<Key>& all)
{
    using Framing = dispatcher::Options::Management::Framing;
    const auto add = [&](std::string_view name, auto codec, auto place) {
        all.push_back(key(
            "dispatcher.management", name,
            codec, [place](auto& c) -> auto& { return place(c.dispatcher.management); }));
    };
    const Choice<Framing> framing{{{"lines", Framing::lines}, {"array", Framing::array}}};
    add(
        "enabled", Flag{}, [](auto& m) -> auto& { return m.enabled; });
    add(
        "listen", Endpoints{}, [](auto& m) -> auto& { return m.listen; });
    add(
        "socket_path", optional_path, [](auto& m) -> auto& { return m.socket_path; });
    add(
        "use_tls", Flag{}, [](auto& m) -> auto& { return m.use_tls; });
    add(
        "passport", PassportText{}, [](auto& m) -> auto& { return m.passport; });
    add(
        "framing", framing, [](auto& m) -> auto& { return m.framing; });
}

void add_relay(std::vector<Key>& all)
{
    const auto add = [&](std::string_view name, auto codec, auto place) {
        all.push_back(key(
            "relay", name, codec, [place](auto& c) -> auto& { return place(c.relay); }));
    };
    const WholeSeconds or_off{0};
    const Choice<std::string> policy{{{"first", "first"}}};
    add(
        "dispatchers", Dispatchers{}, [](auto& r) -> auto& { return r.dispatchers; });
    add(
        "name", Text{}, [](auto& r) -> auto& { return r.name; });
    add(
        "relay_ip", Addresses{}, [](auto& r) -> auto& { return r.relay_ip; });
    add(
        "advertised_ip", Addresses{}, [](auto& r) -> auto& { return r.advertised_ip; });
    add(
        "auto_detect_interfaces", Flag{},
        [](auto& r) -> auto& { return r.auto_detect_interfaces; });
    add(
        "port_range", Ports{}, [](auto& r) -> auto& { return r.port_range; });
    add(
        "stream_timeout", WholeSeconds{}, [](auto& r) -> auto& { return r.stream_timeout; });
    add(
        "on_hold_timeout", WholeSeconds{}, [](auto& r) -> auto& { return r.on_hold_timeout; });
    add(
        "answer_timeout", WholeSeconds{}, [](auto& r) -> auto& { return r.answer_timeout; });
    add(
        "idle_timeout", SecondsOrAuto{}, [](auto& r) -> auto& { return r.idle_timeout; });
    add(
        "max_session_duration", or_off, [](auto& r) -> auto& { return r.max_session_duration; });
    add(
        "allow_one_way", Flag{}, [](auto& r) -> auto& { return r.allow_one_way; });
    add(
        "accelerate_rtcp", Flag{}, [](auto& r) -> auto& { return r.accelerate_rtcp; });
    add(
        "learning_policy", policy, [](auto& r) -> auto& { return r.learning_policy; });
    add(
        "dns_check_interval", WholeSeconds{},
        [](auto& r) -> auto& { return r.dns_check_interval; });
    add(
        "keepalive_interval", WholeSeconds{},
        [](auto& r) -> auto& { return r.keepalive_interval; });
    add(
        "reconnect_delay", WholeSeconds{}, [](auto& r) -> auto& { return r.reconnect_delay; });
    add(
        "traffic_sampling_period", or_off,
        [](auto& r) -> auto& { return r.traffic_sampling_period; });
    add(
        "save_interval", or_off, [](auto& r) -> auto& { return r.save_interval; });
    add(
        "routable_private_ranges", Networks{},
        [](auto& r) -> auto& { return r.routable_private_ranges; });
    add(
        "forwarding", BackEnds{}, [](auto& r) -> auto& { return r.forwarding; });
    add(
        "passport", PassportText{}, [](auto& r) -> auto& { return r.passport; });
}

} // namespace

const std::vector<Key>& keys()
{
    static const std::vector<Key> all = [] {
        std::vector<Key> list;
        add_common(list);
        add_dispatcher(list);
        add_proxy(list);
        add_management(list);
        add_relay(list);
        return list;
    }();
    return all;
}

} // namespace mediaproxy::config
