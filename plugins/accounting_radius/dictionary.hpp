// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attributes.hpp"
#include "result.hpp"

struct rc_conf;

namespace mediaproxy::accounting_radius
{

/// What an attribute is called in a packet.
struct Number {
    std::uint32_t vendor = 0; ///< 0: none; else it travels inside a Vendor-Specific attribute
    std::uint8_t type = 0;
};

/// Names of attributes and values, from files in radcli's format, which radcli reads.
class Dictionary
{
public:
    static Result<Dictionary> read(const std::string& path);

    /// Nothing also when it is there, but of another kind or beyond what a packet can say.
    std::optional<Number> find(const std::string& name, Kind kind) const;
    std::optional<std::uint32_t> find_value(const std::string& attribute,
                                            const std::string& value) const;

private:
    struct Close {
        void operator()(rc_conf* handle) const noexcept;
    };
    using Handle = std::unique_ptr<rc_conf, Close>;

    explicit Dictionary(Handle handle) : handle_(std::move(handle)) {}

    Handle handle_;
};

/// Several, the first one that knows a name counts.
class Dictionaries
{
public:
    std::optional<Failure> add(const std::string& path);

    Result<Number> find(const Attribute& attribute) const;
    /// A name of a value, or a number.
    Result<std::uint32_t> find_value(const std::string& attribute, const std::string& value) const;

private:
    std::string paths() const;

    std::vector<Dictionary> dictionaries_;
    std::vector<std::string> paths_;
};

} // namespace mediaproxy::accounting_radius
