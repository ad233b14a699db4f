// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <map>
#include <string>
#include <utility>

#include "base/state_store.hpp"

/// State in memory: outlives a role in the tests of restarts.
struct FakeStore : mediaproxy::StateStore {
    void save(std::string_view table, std::string_view key, std::string value) override
    {
        tables[std::string(table)][std::string(key)] = std::move(value);
        ++saves;
    }
    void erase(std::string_view table, std::string_view key) override
    {
        tables[std::string(table)].erase(std::string(key));
        ++erases;
    }
    mediaproxy::Result<void> load_all(std::string_view table, const Each& each) override
    {
        if (table == unreadable)
            return mediaproxy::Error{mediaproxy::Error::Code::io, "the disk is gone"};
        for (const auto& [key, value] : tables[std::string(table)])
            each(key, value);
        return {};
    }
    std::map<std::string, std::map<std::string, std::string>> tables;
    int saves = 0, erases = 0;
    std::string unreadable; ///< a table
};
