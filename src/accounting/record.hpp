// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <vector>

#include <mediaproxy/accounting.h>

#include "protocol/session_report.hpp"

namespace mediaproxy::accounting
{

/// A session report in the form in which accounting plugins read it. Struct and JSON come from the
/// same report, so they cannot disagree.
class Record
{
public:
    explicit Record(protocol::SessionReport report);
    Record(const Record&) = delete;
    Record& operator=(const Record&) = delete;

    /// Valid as long as this object.
    const mp_session_record* abi() const noexcept { return &abi_; }

private:
    void fill_streams();

    protocol::SessionReport report_;
    std::string json_;
    std::vector<mp_stream_record> streams_;
    std::vector<const mp_stream_record*> stream_pointers_;
    mp_session_record abi_{};
};

} // namespace mediaproxy::accounting
