// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>
#include <string>

#include "accounting/record.hpp"
#include "attributes.hpp"
#include "fakes/session_report.hpp"

using namespace mediaproxy;
using namespace mediaproxy::accounting_radius;

namespace
{

std::string print(const Value& value)
{
    if (const auto* text = std::get_if<std::string>(&value))
        return *text;
    if (const auto* number = std::get_if<std::uint32_t>(&value))
        return std::to_string(*number);
    std::string bytes;
    const auto append = [&](const auto& address) {
        for (const std::uint8_t byte : address)
            bytes += (bytes.empty() ? "" : ".") + std::to_string(byte);
    };
    if (const auto* ipv4 = std::get_if<Ipv4>(&value))
        append(*ipv4);
    else
        append(std::get<Ipv6>(value));
    return bytes;
}

using Printed = std::map<std::string, std::string>;

Printed attributes(const protocol::SessionReport& report, const Choices& choices = {})
{
    const accounting::Record record(report);
    Printed printed;
    for (const Attribute& attribute : attributes_of(*record.abi(), choices))
        CHECK(printed.emplace(attribute.name, print(attribute.value)).second);
    return printed;
}

protocol::StreamReport stream(const std::string& media_type, const std::string& codec)
{
    protocol::StreamReport stream;
    stream.media_type = media_type;
    stream.status = "closed";
    stream.caller_codec = codec;
    stream.end_time = 60;
    return stream;
}

/// A call of two streams of which everything is known.
protocol::SessionReport full_report()
{
    protocol::SessionReport report = fakes::answered_report("r1");
    report.username = "alice@example.com";
    report.caller_ua = "Alice Phone";
    report.callee_ua = "Bob Phone";
    report.streams = {stream("video", "H261"), stream("audio", "G711a")};
    report.streams[0].created_at = 1699999990.0;
    report.streams[0].post_dial_delay = 7.75;
    report.streams[0].caller_local = "192.0.2.7:40000";
    report.streams[0].rtp_from_caller = {10, 1000};
    report.streams[0].rtcp_from_caller = {1, 50};
    report.streams[0].rtp_from_callee = {20, 2000};
    report.streams[1].rtp_from_caller = {3, 300};
    report.streams[1].rtcp_from_callee = {4, 40};
    return report;
}

} // namespace

TEST_CASE("a record becomes the attributes that MediaProxy sends")
{
    const Printed expected{
        {"Acct-Status-Type", "3"},
        {"User-Name", "alice@example.com"},
        {"Acct-Session-Id", "call-r1"},
        {"Sip-From-Tag", "ftag"},
        {"Sip-To-Tag", "ttag"},
        {"Acct-Session-Time", "60"},
        {"Acct-Input-Octets", "1350"},
        {"Acct-Output-Octets", "2040"},
        {"NAS-IP-Address", "192.0.2.7"},
        {"Sip-User-Agents", "Alice Phone+Bob Phone"},
        {"Sip-Applications", "audio, video"},
        {"Media-Codecs", "H261, G711a"},
        {"Acct-Delay-Time", "7"},
    };
    CHECK(attributes(full_report()) == expected);
}

TEST_CASE("what is not known is left out, and the user is MediaProxy's own")
{
    protocol::SessionReport report = full_report();
    report.username.clear();
    report.to_tag.clear();
    report.caller_ua = report.callee_ua = "Unknown";
    report.start_time.reset();
    report.streams.clear();
    const Printed expected{
        {"Acct-Status-Type", "3"},      {"User-Name", "mediaproxy@default"},
        {"Acct-Session-Id", "call-r1"}, {"Sip-From-Tag", "ftag"},
        {"Acct-Input-Octets", "0"},     {"Acct-Output-Octets", "0"},
    };
    CHECK(attributes(report) == expected);
}

TEST_CASE("one of two user agents or codecs that is not known keeps its place")
{
    protocol::SessionReport report = full_report();
    report.caller_ua = "Unknown";
    report.streams[1].caller_codec = "Unknown";
    const Printed printed = attributes(report);
    CHECK(printed.at("Sip-User-Agents") == "Unknown+Bob Phone");
    CHECK(printed.at("Media-Codecs") == "H261, Unknown");
}

TEST_CASE("codecs are left out when none is known")
{
    protocol::SessionReport report = full_report();
    report.streams = {stream("image", "Unknown"), stream("image", "Unknown")};
    CHECK(attributes(report).count("Media-Codecs") == 0);
}

TEST_CASE("octets past 32 bits come in two attributes, and only those do")
{
    struct Row {
        std::uint64_t bytes;
        const char *octets, *gigawords;
    };
    for (const Row& row :
         {Row{0, "0", ""}, Row{0xffffffff, "4294967295", ""}, Row{0x100000000, "0", "1"},
          Row{0x300000007, "7", "3"}, Row{0xffffffffffffffff, "4294967295", "4294967295"}}) {
        protocol::SessionReport report = full_report();
        report.streams = {stream("audio", "GSM")};
        report.streams[0].rtp_from_caller.bytes = row.bytes;
        const Printed printed = attributes(report);
        INFO(row.bytes);
        CHECK(printed.at("Acct-Input-Octets") == row.octets);
        CHECK(printed.at("Acct-Output-Octets") == "0");
        CHECK(printed.count("Acct-Input-Gigawords") == (*row.gigawords == '\0' ? 0 : 1));
        if (*row.gigawords != '\0')
            CHECK(printed.at("Acct-Input-Gigawords") == row.gigawords);
        CHECK(printed.count("Acct-Output-Gigawords") == 0);
    }
}

TEST_CASE("an IPv6 relay has NAS-IPv6-Address instead of NAS-IP-Address")
{
    protocol::SessionReport report = full_report();
    report.streams[0].caller_local = "2001:db8::7:40000";
    const Printed printed = attributes(report);
    CHECK(printed.at("NAS-IPv6-Address") == "32.1.13.184.0.0.0.0.0.0.0.0.0.0.0.7");
    CHECK(printed.count("NAS-IP-Address") == 0);
}

TEST_CASE("applications are the distinct media types of streams that lasted, sorted")
{
    protocol::SessionReport report = full_report();
    report.streams = {stream("video", "H261"), stream("audio", "GSM"), stream("video", "H261"),
                      stream("image", "Unknown")};
    report.streams[3].start_time = report.streams[3].end_time = 20; // rejected
    CHECK(attributes(report).at("Sip-Applications") == "audio, video");
    for (protocol::StreamReport& each : report.streams)
        each.start_time = each.end_time;
    CHECK(attributes(report).count("Sip-Applications") == 0);
}

TEST_CASE("Media-Info says how a call ended that nobody hung up")
{
    protocol::SessionReport report = full_report();
    CHECK(attributes(report).count("Media-Info") == 0);
    report.timed_out = true;
    CHECK(attributes(report).at("Media-Info") == "timeout"); // its relay was stopped
    report.streams[0].status = "no-traffic timeout";
    CHECK(attributes(report).at("Media-Info") == "timeout");
    report.timed_out = false;
    report.all_streams_ice = true;
    CHECK(attributes(report).at("Media-Info") == "ICE session");
}

TEST_CASE("the post dial delay is that of the first stream that had one, in whole seconds")
{
    protocol::SessionReport report = full_report();
    report.streams[0].post_dial_delay.reset();
    CHECK(attributes(report).count("Acct-Delay-Time") == 0);
    report.streams[1].created_at = 1700000000.0;
    report.streams[1].post_dial_delay = 0.9;
    CHECK(attributes(report).at("Acct-Delay-Time") == "0");
}

TEST_CASE("the status, the time of the end and the record's id are a matter of choice")
{
    const Printed printed = attributes(full_report(), {2, "Acct-Multi-Session-Id", true});
    CHECK(printed.at("Acct-Status-Type") == "2");
    CHECK(printed.at("Event-Timestamp") == "1700000060");
    CHECK(printed.at("Acct-Multi-Session-Id") == "r1");
}

TEST_CASE("every attribute that a record may have is announced with its kind")
{
    const Choices choices{3, "Class", true};
    std::map<std::string, Kind> announced;
    for (const Attribute& attribute : possible_attributes(choices))
        CHECK(announced.emplace(attribute.name, attribute.kind()).second);
    protocol::SessionReport four = full_report(), six = full_report();
    four.streams[0].rtp_from_caller.bytes = four.streams[0].rtp_from_callee.bytes = 1ULL << 40;
    four.timed_out = true;
    six.streams[0].caller_local = "::1:40000";
    std::map<std::string, Kind> found;
    for (const protocol::SessionReport& report : {four, six}) {
        const accounting::Record record(report);
        for (const Attribute& attribute : attributes_of(*record.abi(), choices))
            found.emplace(attribute.name, attribute.kind());
    }
    CHECK(found == announced);
}
