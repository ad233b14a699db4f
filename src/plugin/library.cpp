// SPDX-License-Identifier: GPL-2.0-or-later
#include "plugin/library.hpp"

#include <algorithm>
#include <cstddef>
#include <dlfcn.h>
#include <filesystem>
#include <system_error>
#include <utility>

#include <mediaproxy/accounting.h>
#include <mediaproxy/forwarding.h>

#include "plugin/boundary.hpp"
#include "plugin/settings.hpp"

namespace mediaproxy::plugin
{

namespace
{

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool keep_symbols = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool keep_symbols = true;
#else
constexpr bool keep_symbols = false;
#endif
#else
constexpr bool keep_symbols = false;
#endif

std::string version_text(std::uint32_t abi)
{
    return std::to_string(abi >> 16) + "." + std::to_string(abi & 0xffff);
}

/// Names are parts of file names and configuration keys.
bool is_name(std::string_view name)
{
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
    };
    return !name.empty() && name.size() <= 64 && std::all_of(name.begin(), name.end(), allowed);
}

/// What is wrong with the constant; empty when nothing is. Reads data only, and of an unknown major
/// only the two members that never move.
std::string find_fault(const mp_plugin& plugin, std::string_view name)
{
    if (plugin.abi >> 16 != MP_ABI_MAJOR)
        return "is made for plugin ABI " + version_text(plugin.abi) + ", this daemon has " +
               version_text(MP_ABI_VERSION);
    if (!MP_HAS(&plugin, get_interface))
        return "its mediaproxy_plugin is too short: " + std::to_string(plugin.struct_size) +
               " bytes";
    if (plugin.name == nullptr || plugin.version == nullptr || plugin.description == nullptr ||
        plugin.setting_keys == nullptr || plugin.get_interface == nullptr)
        return "its mediaproxy_plugin is incomplete";
    if (plugin.name != name)
        return "calls itself " + std::string(plugin.name) + ", not " + std::string(name);
    return {};
}

/// What is wrong with the table of functions; empty when nothing is.
template <class Vtable>
std::string find_gap(const Vtable& vtable)
{
    if (!MP_HAS(&vtable, destroy))
        return "is too short: " + std::to_string(vtable.struct_size) + " bytes";
    std::vector<std::pair<bool, const char*>> functions{{vtable.create != nullptr, "create"},
                                                        {vtable.destroy != nullptr, "destroy"}};
    if constexpr (std::is_same_v<Vtable, mp_accounting>)
        functions.insert(functions.end(),
                         {{vtable.open != nullptr, "open"}, {vtable.write != nullptr, "write"}});
    else
        functions.insert(functions.end(), {{vtable.adopt != nullptr, "adopt"},
                                           {vtable.install != nullptr, "install"},
                                           {vtable.replace != nullptr, "replace"},
                                           {vtable.remove != nullptr, "remove"},
                                           {vtable.read != nullptr, "read"}});
    for (const auto& [is_there, name] : functions) {
        if (!is_there)
            return std::string("lacks the function ") + name;
    }
    return {};
}

Listing describe(const std::filesystem::path& file)
{
    Listing listing;
    listing.file = file.filename().string();
    const std::string stem = file.stem().string();
    for (const Kind kind : {Kind::accounting, Kind::forwarding}) {
        const std::string prefix = std::string(to_string(kind)) + "_";
        if (!stem.starts_with(prefix))
            continue;
        listing.kind = to_string(kind);
        listing.name = stem.substr(prefix.size());
        const Result<Library> library =
            Library::open(file.parent_path().string(), kind, listing.name);
        if (!library) {
            listing.refused = library.error().message;
            return listing;
        }
        listing.version = library->plugin().version;
        listing.description = library->plugin().description;
        if (const auto interface = find_interface(library->plugin(), kind); !interface)
            listing.refused = interface.error().message;
        return listing;
    }
    listing.refused = file.string() + ": the file name begins with neither accounting_ nor "
                                      "forwarding_";
    return listing;
}

} // namespace

void Library::Unload::operator()(void* handle) const noexcept
{
    // A report about an unloaded object has no symbols.
    if constexpr (!keep_symbols)
        ::dlclose(handle);
}

Result<Library> Library::open(const std::string& dir, Kind kind, std::string_view name)
{
    if (!is_name(name))
        return invalid("plugin " + std::string(name) +
                       ": a name has lower-case letters, digits, _ and -");
    std::error_code failed;
    const std::filesystem::path file =
        std::filesystem::absolute(dir, failed) /
        (std::string(to_string(kind)) + "_" + std::string(name) + ".so");
    if (!std::filesystem::exists(file, failed))
        return Error{Error::Code::not_found, "plugin " + file.string() + ": no such file"};

    void* const handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
        const char* const reason = ::dlerror();
        return invalid("plugin " + std::string(reason != nullptr ? reason : file.c_str()));
    }
    const auto* const plugin = static_cast<const mp_plugin*>(::dlsym(handle, MP_PLUGIN_SYMBOL));
    Library library(handle, plugin);
    if (plugin == nullptr)
        return invalid("plugin " + file.string() + ": has no symbol " MP_PLUGIN_SYMBOL);
    if (const std::string fault = find_fault(*plugin, name); !fault.empty())
        return invalid("plugin " + file.string() + ": " + fault);
    return library;
}

Result<const void*> find_interface(const mp_plugin& plugin, Kind kind)
{
    const std::string id = kind == Kind::accounting ? MP_ACCOUNTING : MP_FORWARDING;
    const std::string subject = "plugin " + std::string(plugin.name) + ": ";
    const void* interface = nullptr;
    const Outcome outcome = enter_plugin([&](mp_error*) {
        interface = plugin.get_interface(id.c_str());
        return MP_OK;
    });
    if (!outcome.ok())
        return invalid(subject + outcome.message);
    if (interface == nullptr)
        return invalid(subject + "does not offer " + id);
    const std::string gap = kind == Kind::accounting
                                ? find_gap(*static_cast<const mp_accounting*>(interface))
                                : find_gap(*static_cast<const mp_forwarding*>(interface));
    if (!gap.empty())
        return invalid(subject + "its " + id + " " + gap);
    return interface;
}

Result<void> check(Kind kind, const PluginSource& source)
{
    const Result<Library> library = Library::open(source.dir, kind, source.name);
    if (!library)
        return library.error();
    const auto settings = Settings::prepare(library->plugin(), instance_name(kind, source),
                                            source.settings, source.folder);
    if (!settings)
        return settings.error();
    return {};
}

Result<std::vector<Listing>> list_plugins(const std::string& dir)
{
    std::error_code failed;
    std::vector<std::filesystem::path> files;
    const std::filesystem::path folder = std::filesystem::absolute(dir, failed);
    for (std::filesystem::directory_iterator entry(folder, failed), end; !failed && entry != end;
         entry.increment(failed)) {
        if (entry->path().extension() == ".so")
            files.push_back(entry->path());
    }
    if (failed)
        return Error{Error::Code::not_found, "plugin folder " + dir + ": " + failed.message()};
    std::sort(files.begin(), files.end());
    std::vector<Listing> listings;
    listings.reserve(files.size());
    for (const auto& file : files)
        listings.push_back(describe(file));
    return listings;
}

} // namespace mediaproxy::plugin
