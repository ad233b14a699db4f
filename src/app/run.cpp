// SPDX-License-Identifier: GPL-2.0-or-later
#include "app/run.hpp"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <optional>
#include <sys/resource.h>
#include <thread>

#include "app/accounting_command.hpp"
#include "app/background.hpp"
#include "app/check.hpp"
#include "app/core_loop.hpp"
#include "app/daemon.hpp"
#include "app/log_sinks.hpp"
#include "base/thread.hpp"
#include "config/load.hpp"
#include "conformance/examination.hpp"
#include "plugin/library.hpp"

namespace mediaproxy::app
{

namespace
{

void print(std::string_view text)
{
    std::fwrite(text.data(), 1, text.size(), stdout);
}

int complain(std::string_view text)
{
    std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
    return EXIT_FAILURE;
}

std::string config_path(const CommandLine& line)
{
    return std::filesystem::absolute(line.config.value_or(MEDIAPROXYD_CONFIG_FILE)).string();
}

/// Relative folders are below the one that we are in now: in the background we leave it.
void make_absolute(config::Config& config)
{
    for (std::string* folder : {&config.plugin_dir, &config.runtime_dir, &config.state_dir})
        *folder = std::filesystem::absolute(*folder).string();
}

/// The file, with the command line laid over it. What only prints is content without a file unless
/// one is named.
Result<config::Config> load_config(const CommandLine& line)
{
    const bool prints = line.action == CommandLine::Action::print_config ||
                        line.action == CommandLine::Action::list_plugins;
    const std::string path = config_path(line);
    const bool missing = !line.config && !std::filesystem::exists(path);
    Result<config::Config> config =
        prints && missing ? Result<config::Config>(config::Config{}) : config::load(path);
    if (!config)
        return config;
    if (line.role)
        config->role = *line.role;
    if (line.logging == CommandLine::Logging::debug)
        config->log.level = log::Level::debug;
    if (line.action != CommandLine::Action::print_config)
        make_absolute(*config);
    return config;
}

int check(const config::Config& config, const std::string& path)
{
    const std::vector<std::string> problems = find_problems(config);
    for (const std::string& problem : problems)
        complain(fmt::format("{}: {}", path, problem));
    if (!problems.empty())
        return EXIT_FAILURE;
    print(path + ": configuration OK\n");
    return EXIT_SUCCESS;
}

int list_plugins(const std::string& folder)
{
    const auto listings = plugin::list_plugins(folder);
    if (!listings)
        return complain(listings.error().message);
    for (const plugin::Listing& listing : *listings) {
        if (listing.refused.empty())
            print(fmt::format("{:<11} {:<12} {:<8} {}\n", listing.kind, listing.name,
                              listing.version, listing.description));
        else
            print(fmt::format("{}: refused: {}\n", listing.file, listing.refused));
    }
    return EXIT_SUCCESS;
}

int check_plugin(const CommandLine& line)
{
    const bool right = conformance::examine(
        {line.plugin_file, line.plugin_settings, MEDIAPROXYD_VERSION, line.patience},
        [](std::string_view text) {
            print(fmt::format("{}\n", text));
            std::fflush(stdout);
        });
    return right ? EXIT_SUCCESS : EXIT_FAILURE;
}

int accounting(const CommandLine::Accounting& wanted, const config::Config& config)
{
    const auto done = run_accounting(
        wanted, config, [](std::string_view text) { print(fmt::format("{}\n", text)); });
    return done ? EXIT_SUCCESS : complain("mediaproxyd: " + done.error().message);
}

/// As many descriptors as the hard limit allows: a call takes four and more.
void raise_descriptor_limit()
{
    struct rlimit limit {
    };
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

std::chrono::microseconds busy_poll(const config::Config& config)
{
    // Nobody else could work meanwhile where there is one CPU.
    if (std::thread::hardware_concurrency() <= 1)
        return {};
    // A relay's next request is rarely so close behind: its dispatcher gathers what its proxies
    // ask.
    const int automatic = has_dispatcher(config.role) ? 15 : 0;
    return std::chrono::microseconds{config.busy_poll.value_or(automatic)};
}

/// The setting's value when the log is written to standard error, which the background has not.
std::string_view standard_error_name(config::LogTarget target) noexcept
{
    return target == config::LogTarget::standard_error ? "stderr"
           : target == config::LogTarget::journal      ? "journal"
                                                       : "";
}

int serve(const CommandLine& line, const config::Config& config)
{
    std::optional<Background> background;
    if (line.place == CommandLine::Place::background) {
        if (const auto lost = standard_error_name(config.log.target); !lost.empty())
            return complain(fmt::format("mediaproxyd: [log] target = \"{}\": nobody reads that in "
                                        "the background; with --no-fork it is read",
                                        lost));
        auto entered = Background::enter();
        if (!entered)
            return complain("mediaproxyd: " + entered.error().message);
        background.emplace(std::move(*entered));
    }
    log::set_sink(choose_sink(config.log.target, line.place));
    log::set_level(config.log.level);
    std::signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();

    set_urgency(Urgency::awaited);

    asio::io_context io(1);
    auto daemon = Daemon::create(io, config);
    if (!daemon) {
        log::write(log::Level::critical, "cannot start: " + daemon.error().message);
        if (background)
            background->failed("cannot start: " + daemon.error().message);
        return EXIT_FAILURE;
    }
    (*daemon)->start();
    // Not those that it has started: a plugin's may be busy all the time.
    if (const int refused = config.realtime ? enter_realtime() : 0; refused != 0)
        log::warning("realtime = true: {}; it takes CAP_SYS_NICE or a limit RTPRIO of 1",
                     std::strerror(refused));
    if (background)
        background->ready();
    run_core_loop(io, busy_poll(config));
    daemon->reset();
    log::info("stopped");
    return EXIT_SUCCESS;
}

} // namespace

int run(const CommandLine& line)
{
    using Action = CommandLine::Action;
    if (line.action == Action::print_help) {
        print(usage());
        return EXIT_SUCCESS;
    }
    if (line.action == Action::print_version) {
        print("mediaproxyd " MEDIAPROXYD_VERSION "\n");
        return EXIT_SUCCESS;
    }
    if (line.action == Action::check_plugin)
        return check_plugin(line);
    const Result<config::Config> config = load_config(line);
    if (!config)
        return complain(config.error().message);
    switch (line.action) {
    case Action::check:
        return check(*config, config_path(line));
    case Action::print_config:
        print(print_config(*config));
        return EXIT_SUCCESS;
    case Action::list_plugins:
        return list_plugins(config->plugin_dir);
    case Action::accounting:
        return accounting(line.accounting, *config);
    default:
        return serve(line, *config);
    }
}

} // namespace mediaproxy::app
