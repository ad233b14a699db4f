// SPDX-License-Identifier: GPL-2.0-or-later
#include "store/changes.hpp"

#include <utility>

namespace mediaproxy::store
{

namespace
{

constexpr char separator = '\0'; ///< names of tables are ours and have none

} // namespace

std::string Changes::join(std::string_view table, std::string_view key)
{
    std::string joined;
    joined.reserve(table.size() + 1 + key.size());
    return joined.append(table).append(1, separator).append(key);
}

std::string_view Changes::table_of(std::string_view joined)
{
    return joined.substr(0, joined.find(separator));
}

std::string_view Changes::key_of(std::string_view joined)
{
    return joined.substr(joined.find(separator) + 1);
}

void Changes::save(std::string_view table, std::string_view key, std::string value)
{
    state.insert_or_assign(join(table, key), std::move(value));
}

void Changes::erase(std::string_view table, std::string_view key, const KeysOnDisk& on_disk)
{
    std::string joined = join(table, key);
    if (on_disk.contains(joined))
        state.insert_or_assign(std::move(joined), std::nullopt);
    else
        state.erase(joined);
}

void Changes::put_record(const std::vector<std::string>& backends, std::string_view record_id,
                         std::string_view body, std::int64_t made_at)
{
    for (const std::string& backend : backends) {
        records.push_back({backend, std::string(record_id), std::string(body), made_at});
        record_bytes += body.size();
    }
}

void Changes::apply_to(KeysOnDisk& on_disk) const
{
    for (const auto& [key, value] : state) {
        if (value)
            on_disk.add(key);
        else
            on_disk.remove(key);
    }
}

} // namespace mediaproxy::store
