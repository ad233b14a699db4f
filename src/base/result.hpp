// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <cassert>
#include <string>
#include <utility>
#include <variant>

namespace mediaproxy
{

/// Why something failed: a code to decide by and a sentence, with its subject, to show to a person.
struct Error {
    enum class Code {
        invalid,     ///< the input is wrong; the same input will fail again
        not_found,   ///< the thing named does not exist
        exhausted,   ///< ports, descriptors or memory ran out
        denied,      ///< a privilege is missing, or a peer was refused
        unsupported, ///< this kernel, family or build cannot do it
        unavailable, ///< temporary: not connected, busy, timed out
        io,          ///< a system call failed
    };
    Code code = Code::io;
    std::string message;
};

inline Error invalid(std::string message)
{
    return Error{Error::Code::invalid, std::move(message)};
}

/// A value or the reason why there is none. Member names are those of std::expected, which g++ 12
/// lacks.
template <class T>
class [[nodiscard]] Result
{
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}

    bool has_value() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return has_value(); }

    T& value() &
    {
        assert(has_value());
        return *std::get_if<0>(&state_);
    }
    const T& value() const&
    {
        assert(has_value());
        return *std::get_if<0>(&state_);
    }
    T&& value() &&
    {
        assert(has_value());
        return std::move(*std::get_if<0>(&state_));
    }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T&& operator*() && { return std::move(*this).value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    const Error& error() const&
    {
        assert(!has_value());
        return *std::get_if<1>(&state_);
    }
    Error&& error() &&
    {
        assert(!has_value());
        return std::move(*std::get_if<1>(&state_));
    }

    template <class U>
    T value_or(U&& other) const&
    {
        return has_value() ? value() : static_cast<T>(std::forward<U>(other));
    }

private:
    std::variant<T, Error> state_;
};

template <>
class [[nodiscard]] Result<void>
{
public:
    Result() = default;
    Result(Error error) : failed_(true), error_(std::move(error)) {}

    bool has_value() const noexcept { return !failed_; }
    explicit operator bool() const noexcept { return !failed_; }
    const Error& error() const&
    {
        assert(failed_);
        return error_;
    }
    Error&& error() &&
    {
        assert(failed_);
        return std::move(error_);
    }

private:
    bool failed_ = false;
    Error error_;
};

} // namespace mediaproxy
