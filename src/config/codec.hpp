// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.hpp"
#include "config/value.hpp"
#include "net/network.hpp"
#include "relay/options.hpp"
#include "tls/passport.hpp"

/// How values of one kind are read from the file and written to it. Each codec has
///     std::string allowed() const      completes "must be ..."
///     std::optional<T> read(value)     nothing: not allowed
///     std::string print(T) const       TOML
namespace mediaproxy::config
{

struct Flag {
    std::string allowed() const { return "true or false"; }
    std::optional<bool> read(const Value& value) const;
    std::string print(bool value) const { return value ? "true" : "false"; }
};

struct Text {
    std::string_view what = "a text";
    enum class Empty { allowed, refused } empty = Empty::allowed;
    std::string allowed() const { return std::string(what); }
    std::optional<std::string> read(const Value& value) const;
    std::string print(const std::string& value) const { return quote(value); }
};

/// An array of texts; one alone may stand without brackets.
struct Texts {
    std::string_view what;
    std::string allowed() const { return std::string(what); }
    std::optional<std::vector<std::string>> read(const Value& value) const;
    std::string print(const std::vector<std::string>& values) const;
};

/// Names of back ends in order, each once; "none" for no back end.
struct BackEnds {
    std::string allowed() const
    {
        return "names of [forwarding.NAME] tables, each once, or \"none\"";
    }
    std::optional<std::vector<std::string>> read(const Value& value) const;
    std::string print(const std::vector<std::string>& values) const;
};

/// A whole number between two limits.
struct Count {
    int least = 0, most = 100;
    std::string allowed() const;
    std::optional<int> read(const Value& value) const;
    std::string print(int value) const { return std::to_string(value); }
};

/// Whole seconds between two limits.
struct WholeSeconds {
    std::int64_t least = 1;
    static constexpr std::int64_t most = 315'360'000; // ten years
    std::string allowed() const;
    std::optional<Seconds> read(const Value& value) const;
    std::string print(Seconds value) const { return std::to_string(value.count()); }
};

bool is_auto(const Value& value);

/// What `Codec` takes for a T, or "auto" for nothing.
template <class Codec, class T>
struct OrAuto {
    Codec codec;
    std::string allowed() const { return "\"auto\" or " + codec.allowed(); }
    std::optional<std::optional<T>> read(const Value& value) const
    {
        if (is_auto(value))
            return std::optional<T>{};
        const std::optional<T> taken = codec.read(value);
        return taken ? std::optional<std::optional<T>>(taken) : std::nullopt;
    }
    std::string print(const std::optional<T>& value) const
    {
        return value ? codec.print(*value) : "\"auto\"";
    }
};
using SecondsOrAuto = OrAuto<WholeSeconds, Seconds>;
using CountOrAuto = OrAuto<Count, int>;

/// Seconds with a fraction, kept as milliseconds.
struct Fraction {
    static constexpr Milliseconds least{1}, most{60'000};
    std::string allowed() const { return "seconds from 0.001 to 60"; }
    std::optional<Milliseconds> read(const Value& value) const;
    std::string print(Milliseconds value) const;
};

/// Permission bits as octal text, "0660", or a TOML number, 0o660.
struct Mode {
    std::string allowed() const { return "permission bits such as \"0660\""; }
    std::optional<std::optional<unsigned>> read(const Value& value) const;
    std::string print(const std::optional<unsigned>& value) const;
};

struct Ports {
    std::string allowed() const;
    std::optional<relay::PortRange> read(const Value& value) const;
    std::string print(const relay::PortRange& value) const;
};

struct PassportText {
    std::string allowed() const;
    std::optional<tls::Passport> read(const Value& value) const;
    std::string print(const tls::Passport& value) const { return quote(value.to_string()); }
};

struct Addresses {
    std::string allowed() const { return "IP addresses, at most one a family"; }
    std::optional<std::vector<net::Address>> read(const Value& value) const;
    std::string print(const std::vector<net::Address>& values) const;
};

struct Endpoints {
    std::string allowed() const;
    std::optional<std::vector<net::Endpoint>> read(const Value& value) const;
    std::string print(const std::vector<net::Endpoint>& values) const;
};

struct Networks {
    std::string allowed() const;
    std::optional<std::vector<net::Network>> read(const Value& value) const;
    std::string print(const std::vector<net::Network>& values) const;
};

struct Dispatchers {
    std::string allowed() const;
    std::optional<std::vector<relay::Options::Dispatcher>> read(const Value& value) const;
    std::string print(const std::vector<relay::Options::Dispatcher>& values) const;
};

/// One of a few words, each standing for a value; case does not matter.
template <class T>
struct Choice {
    struct Word {
        std::string_view word;
        T value;
    };
    std::vector<Word> words;

    std::string allowed() const
    {
        std::string list;
        for (const Word& word : words)
            list += (list.empty() ? "one of " : ", ") + quote(word.word);
        return list;
    }
    std::optional<T> read(const Value& value) const;
    std::string print(const T& value) const
    {
        for (const Word& word : words) {
            if (word.value == value)
                return quote(word.word);
        }
        return quote("");
    }
};

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;

template <class T>
std::optional<T> Choice<T>::read(const Value& value) const
{
    const std::string* const given = std::get_if<std::string>(&value.data);
    if (given == nullptr)
        return std::nullopt;
    for (const Word& word : words) {
        if (equal_ignoring_case(word.word, *given))
            return word.value;
    }
    return std::nullopt;
}

} // namespace mediaproxy::config
