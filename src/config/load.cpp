// SPDX-License-Identifier: GPL-2.0-or-later
#include "config/load.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fmt/format.h>
#include <fstream>
#include <set>
#include <sys/stat.h>

#include "base/text.hpp"
#include "config/keys.hpp"

namespace mediaproxy::config
{

namespace
{

constexpr std::uintmax_t most_bytes = 1 << 20;

std::string in_table(std::string_view table)
{
    return table.empty() ? "" : fmt::format("[{}] ", table);
}

/// The table [accounting.NAME] or [forwarding.NAME] as {"accounting", NAME}; empty for others.
std::pair<std::string_view, std::string_view> split_plugin_table(std::string_view table)
{
    for (const std::string_view kind : {"accounting", "forwarding"}) {
        if (table.starts_with(kind) && table.size() > kind.size() + 1 && table[kind.size()] == '.')
            return {kind, table.substr(kind.size() + 1)};
    }
    return {};
}

bool is_file_name(std::string_view name)
{
    return std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '_' || c == '-';
    });
}

/// The tables of settings, in the order of the sample file.
std::vector<std::string_view> setting_tables()
{
    std::vector<std::string_view> tables;
    for (const Key& key : keys()) {
        if (!key.table.empty() && (tables.empty() || tables.back() != key.table))
            tables.push_back(key.table);
    }
    return tables;
}

/// Fills a Config from a document and remembers what is wrong.
class Loader
{
public:
    explicit Loader(std::string name) : name_(std::move(name)) {}

    Result<Config> load(const Document& document)
    {
        for (const Document::Table& table : document.tables)
            take(table);
        for (const Entry& entry : document.entries)
            take(entry);
        if (problems_.empty())
            return std::move(config_);
        std::stable_sort(problems_.begin(), problems_.end(),
                         [](const Problem& a, const Problem& b) { return a.line < b.line; });
        std::string all;
        for (const Problem& problem : problems_)
            all += fmt::format("{}{}:{}: {}", all.empty() ? "" : "\n", name_, problem.line,
                               problem.text);
        return invalid(all);
    }

private:
    struct Problem {
        unsigned line;
        std::string text;
    };

    void complain(unsigned line, std::string text) { problems_.push_back({line, std::move(text)}); }
    std::string where(unsigned line) const { return fmt::format("{}:{}", name_, line); }

    void take(const Document::Table& table)
    {
        const auto [kind, name] = split_plugin_table(table.name);
        if (!kind.empty()) {
            if (!is_file_name(name))
                complain(table.line, fmt::format("[{}]: a name of letters, digits, _ and -, please",
                                                 text::printable(table.name)));
            tables_of(kind).push_back(
                {std::string(name), std::string(name), {}, where(table.line)});
            return;
        }
        const std::vector<std::string_view> tables = setting_tables();
        std::vector<std::string_view> known{"", "accounting", "forwarding"};
        known.insert(known.end(), tables.begin(), tables.end());
        if (std::find(known.begin(), known.end(), table.name) != known.end())
            return;
        unknown_tables_.insert(table.name);
        const std::string_view near = text::nearest(table.name, known);
        complain(table.line,
                 fmt::format(
                     "unknown table [{}]{}", text::printable(table.name),
                     near.empty()
                         ? fmt::format("; there are [{}], [accounting.NAME] and [forwarding.NAME]",
                                       fmt::join(tables, "], ["))
                         : fmt::format("; did you mean [{}]?", near)));
    }

    void take(const Entry& entry)
    {
        if (const auto [kind, name] = split_plugin_table(entry.table); !kind.empty()) {
            take_plugin_setting(entry, tables_of(kind), name);
            return;
        }
        if (unknown_tables_.contains(entry.table))
            return; // said once, for the table
        for (const Key& key : keys()) {
            if (key.table == entry.table && key.name == entry.key) {
                take(entry, key);
                return;
            }
        }
        complain(entry.line, fmt::format("{}unknown key \"{}\"; {}", in_table(entry.table),
                                         text::printable(entry.key), hint(entry)));
    }

    void take(const Entry& entry, const Key& key)
    {
        if (key.read(config_, entry.value) == Key::Verdict::refused)
            complain(entry.line, fmt::format("{}{} = {}: must be {}", in_table(entry.table),
                                             entry.key, to_toml(entry.value), key.allowed));
    }

    /// The key that was meant, of this table or of another.
    static std::string hint(const Entry& entry)
    {
        std::vector<std::string_view> here;
        for (const Key& key : keys()) {
            if (key.name == entry.key)
                return key.table.empty() ? "it stands at the top of the file, before any table"
                                         : fmt::format("it stands in [{}]", key.table);
            if (key.table == entry.table)
                here.push_back(key.name);
        }
        if (const std::string_view near = text::nearest(entry.key, here); !near.empty())
            return fmt::format("did you mean \"{}\"?", near);
        if (here.empty())
            return fmt::format("only tables [{}.NAME] stand here", entry.table);
        return fmt::format("known here: {}", fmt::join(here, ", "));
    }

    std::vector<PluginTable>& tables_of(std::string_view kind)
    {
        return kind == "accounting" ? config_.accounting : config_.forwarding;
    }

    void take_plugin_setting(const Entry& entry, std::vector<PluginTable>& tables,
                             std::string_view name)
    {
        const auto table = std::find_if(tables.begin(), tables.end(),
                                        [&](const PluginTable& t) { return t.name == name; });
        if (table == tables.end())
            return; // a table below a plugin's: its own line was complained about
        if (entry.key != "plugin") {
            add_setting(entry, entry.value, table->settings);
            return;
        }
        const std::string* const plugin = std::get_if<std::string>(&entry.value.data);
        if (plugin == nullptr || plugin->empty() || !is_file_name(*plugin))
            complain(entry.line,
                     fmt::format("{}plugin = {}: must be the name of a plugin, as --list-plugins "
                                 "shows it",
                                 in_table(entry.table), to_toml(entry.value)));
        else
            table->plugin = *plugin;
    }

    void add_setting(const Entry& entry, const Value& value, std::vector<plugin::Setting>& settings)
    {
        if (const Value::Array* const array = std::get_if<Value::Array>(&value.data)) {
            for (const Value& element : *array)
                add_setting(entry, element, settings);
            return;
        }
        const double* const number = std::get_if<double>(&value.data);
        if (std::holds_alternative<std::monostate>(value.data) ||
            (number != nullptr && !std::isfinite(*number))) {
            complain(entry.line, fmt::format("{}{} = {}: must be a text, a finite number, true, "
                                             "false, or an array of these",
                                             in_table(entry.table), entry.key, to_toml(value)));
            return;
        }
        const std::string* const string = std::get_if<std::string>(&value.data);
        settings.push_back(
            {entry.key, string != nullptr ? *string : to_toml(value), where(entry.line)});
    }

    std::string name_;
    Config config_;
    std::vector<Problem> problems_;
    std::set<std::string> unknown_tables_;
};

Result<std::string> read_file(const std::string& path)
{
    struct stat status {
    };
    if (::stat(path.c_str(), &status) != 0)
        return Error{Error::Code::not_found, fmt::format("{}: {}", path, std::strerror(errno))};
    if (!S_ISREG(status.st_mode))
        return invalid(path + ": not a file");
    if (static_cast<std::uintmax_t>(status.st_size) > most_bytes)
        return invalid(fmt::format("{}: longer than {} bytes", path, most_bytes));
    std::ifstream file(path, std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    if (!file)
        return Error{Error::Code::io, fmt::format("{}: {}", path, std::strerror(errno))};
    return text;
}

} // namespace

Result<Config> parse(const std::string& text, const std::string& name)
{
    const Result<Document> document = read_document(text, name);
    if (!document)
        return document.error();
    return Loader(name).load(*document);
}

Result<Config> load(const std::string& path)
{
    const Result<std::string> text = read_file(path);
    if (!text)
        return text.error();
    Result<Config> config = parse(*text, path);
    if (config) {
        const std::string folder = std::filesystem::path(path).parent_path().string();
        config->folder = folder.empty() ? "." : folder;
    }
    return config;
}

} // namespace mediaproxy::config
