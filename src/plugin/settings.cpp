// SPDX-License-Identifier: GPL-2.0-or-later
#include "plugin/settings.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <unistd.h>
#include <utility>

#include "base/text.hpp"
#include "base/unique_fd.hpp"

namespace mediaproxy::plugin
{

namespace
{

constexpr std::string_view file_suffix = "_file";
constexpr std::size_t secret_limit = 64UL * 1024;

std::string subject(const Setting& setting, std::string_view instance)
{
    const std::string place = setting.where.empty() ? std::string() : setting.where + ": ";
    return place + std::string(instance) + "." + setting.key;
}

Error unknown_key(const Setting& setting, std::string_view instance,
                  std::span<const std::string_view> known)
{
    std::string message = subject(setting, instance) + ": unknown setting";
    const std::string_view near = text::nearest(setting.key, known);
    if (!near.empty())
        message += ", did you mean " + std::string(near) + "?";
    return invalid(std::move(message));
}

Error unreadable(const Setting& setting, std::string_view instance, const std::string& path)
{
    return invalid(subject(setting, instance) + ": cannot read " + path + ": " +
                   std::strerror(errno));
}

Result<std::string> read_secret(const Setting& setting, std::string_view instance,
                                const std::string& folder)
{
    const std::string path = (std::filesystem::path(folder) / setting.value).string();
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file)
        return unreadable(setting, instance, path);
    std::string secret(secret_limit + 1, '\0');
    std::size_t size = 0;
    while (size < secret.size()) {
        const ssize_t got = ::read(file.get(), secret.data() + size, secret.size() - size);
        if (got < 0)
            return unreadable(setting, instance, path);
        if (got == 0)
            break;
        size += static_cast<std::size_t>(got);
    }
    secret.resize(size);
    while (!secret.empty() && (secret.back() == '\n' || secret.back() == '\r'))
        secret.pop_back();
    if (size > secret_limit || secret.find_first_of(std::string_view("\0\r\n", 3)) != secret.npos)
        return invalid(subject(setting, instance) + ": " + path +
                       " is not one line of text of at most 64 KiB");
    return secret;
}

bool contains(std::span<const std::string_view> known, std::string_view key)
{
    return std::find(known.begin(), known.end(), key) != known.end();
}

/// The setting as the plugin gets it: itself, or what its file holds.
Result<Setting> resolve(const Setting& setting, std::string_view instance,
                        std::span<const std::string_view> known, const std::string& folder)
{
    if (setting.value.find('\0') != std::string::npos)
        return invalid(subject(setting, instance) + ": a zero byte in the value");
    if (contains(known, setting.key))
        return setting;
    const std::string_view key = setting.key;
    const bool from_file = key.ends_with(file_suffix) &&
                           contains(known, key.substr(0, key.size() - file_suffix.size()));
    if (!from_file)
        return unknown_key(setting, instance, known);
    Result<std::string> secret = read_secret(setting, instance, folder);
    if (!secret)
        return std::move(secret).error();
    return Setting{std::string(key.substr(0, key.size() - file_suffix.size())), *std::move(secret),
                   setting.where};
}

} // namespace

std::string instance_name(Kind kind, const PluginSource& source)
{
    if (!source.instance.empty())
        return source.instance;
    return std::string(to_string(kind)) + "." + source.name;
}

Result<Settings> Settings::prepare(const mp_plugin& plugin, std::string_view instance,
                                   const std::vector<Setting>& settings, const std::string& folder)
{
    std::vector<std::string_view> known;
    for (const char* const* key = plugin.setting_keys; *key != nullptr; ++key)
        known.emplace_back(*key);

    Settings prepared;
    for (const Setting& setting : settings) {
        Result<Setting> resolved = resolve(setting, instance, known, folder);
        if (!resolved)
            return std::move(resolved).error();
        const bool twice = resolved->key != setting.key &&
                           std::any_of(settings.begin(), settings.end(), [&](const Setting& other) {
                               return other.key == resolved->key;
                           });
        if (twice)
            return invalid(subject(setting, instance) + ": " + resolved->key + " is set too");
        prepared.owned_.push_back(std::make_unique<Setting>(*std::move(resolved)));
        const Setting& kept = *prepared.owned_.back();
        prepared.abi_.push_back({kept.key.c_str(), kept.value.c_str()});
    }
    return prepared;
}

} // namespace mediaproxy::plugin
