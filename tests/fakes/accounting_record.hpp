// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>
#include <utility>

#include <mediaproxy/accounting.h>

namespace mediaproxy::fakes
{

/// A record as a back end gets it, with no streams.
class AccountingRecord
{
public:
    AccountingRecord(std::string record_id, std::string call_id, std::string from_tag = "ftag",
                     std::string to_tag = "ttag")
        : record_id_(std::move(record_id)), call_id_(std::move(call_id)),
          from_tag_(std::move(from_tag)), to_tag_(std::move(to_tag)),
          json_(R"({"call_id": ")" + call_id_ + R"(", "record_id": ")" + record_id_ + R"("})")
    {
        abi_.struct_size = sizeof abi_;
        abi_.record_id = record_id_.c_str();
        abi_.call_id = call_id_.c_str();
        abi_.from_tag = from_tag_.c_str();
        abi_.to_tag = to_tag_.c_str();
        for (const char** unknown :
             {&abi_.from_uri, &abi_.to_uri, &abi_.caller_user_agent, &abi_.callee_user_agent,
              &abi_.username, &abi_.dialog_id, &abi_.relay})
            *unknown = "";
        abi_.started_at = abi_.answered_at = abi_.ended_at = -1;
        abi_.json = json_.c_str();
    }
    AccountingRecord(const AccountingRecord&) = delete;
    AccountingRecord& operator=(const AccountingRecord&) = delete;

    const mp_session_record* abi() const noexcept { return &abi_; }
    const std::string& json() const noexcept { return json_; }

private:
    std::string record_id_, call_id_, from_tag_, to_tag_, json_;
    mp_session_record abi_{};
};

} // namespace mediaproxy::fakes
