// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "protocol/request.hpp"

namespace mediaproxy::dispatcher
{

/// A copy of a request whose text must outlive the reader's buffer. Keeps its memory for the next.
/// Not to be moved: the request is views into the text beside it.
class OwnedRequest
{
public:
    OwnedRequest() = default;
    OwnedRequest(const OwnedRequest&) = delete;
    OwnedRequest& operator=(const OwnedRequest&) = delete;

    void assign(const protocol::Request& request)
    {
        std::size_t size = request.command.size();
        for (const protocol::Header& header : request.headers)
            size += header.name.size() + header.value.size();
        text_.clear();
        text_.reserve(size); // the views stay good while it grows
        request_.clear();
        request_.command = keep(request.command);
        for (const protocol::Header& header : request.headers)
            request_.headers.push_back({keep(header.name), keep(header.value)});
    }
    const protocol::Request& request() const noexcept { return request_; }

private:
    std::string_view keep(std::string_view part)
    {
        const std::size_t begin = text_.size();
        text_ += part;
        return std::string_view(text_).substr(begin);
    }

    std::string text_;
    protocol::Request request_;
};

} // namespace mediaproxy::dispatcher
