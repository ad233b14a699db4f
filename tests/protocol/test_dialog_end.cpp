// SPDX-License-Identifier: GPL-2.0-or-later
#include <algorithm>
#include <catch2/catch.hpp>
#include <map>

#include "fakes/proxy_transcript.hpp"
#include "protocol/dialog_end.hpp"

using namespace mediaproxy::protocol;
using Verdict = EndDialogAnswer::Verdict;

namespace
{

std::vector<std::string> datagrams(ProxyKind kind, const std::string& dialog_id,
                                   const std::string& call_id)
{
    std::vector<std::string> result;
    for (const EndDialog& way : ways_to_end(kind, dialog_id, call_id))
        result.push_back(way.write(1));
    return result;
}

std::string json(const std::string& parameter)
{
    return R"({"jsonrpc":"2.0","id":"1","method":"dlg_end_dlg","params":[")" + parameter + "\"]}";
}

std::string line(const std::string& parameter)
{
    return ":dlg_end_dlg:\n" + parameter + "\n\n";
}

/// JSON is compared without blanks, of which nobody cares.
std::string without_blanks(std::string text)
{
    std::erase(text, ' ');
    return text;
}

const std::string kamailio_call =
    R"({"jsonrpc": "2.0", "id": "1", "method": "dlg.end_dlg", "params": [2007, 1876867394]})";

} // namespace

TEST_CASE("OpenSIPS' hexadecimal dialog id is the decimal one, its halves reversed")
{
    CHECK(to_hexadecimal_dialog_id(15028991519155) == "bad.3b963b53");
    CHECK(to_hexadecimal_dialog_id(0) == "0.0");
    CHECK(to_hexadecimal_dialog_id(~std::uint64_t{0}) == "ffffffff.ffffffff");
    CHECK(to_hexadecimal_dialog_id(0x10) == "0.01");
}

TEST_CASE("each kind of proxy is asked in its own form")
{
    using Datagrams = std::vector<std::string>;
    const std::string call_id = "1-14298@10.91.1.2";
    CHECK(datagrams(ProxyKind::kamailio, "2007:1876867394", call_id) == Datagrams{kamailio_call});
    CHECK(datagrams(ProxyKind::opensips, "15028991519155", call_id) ==
          Datagrams{json("bad.3b963b53")});
    CHECK(datagrams(ProxyKind::opensips, "bad.3b963b53", call_id) == Datagrams{json(call_id)});
    CHECK(datagrams(ProxyKind::opensips_3_0, "15028991519155", call_id) ==
          Datagrams{json("15028991519155")});
    CHECK(datagrams(ProxyKind::opensips_3_0, "?", call_id) == Datagrams{json(call_id)});
    CHECK(datagrams(ProxyKind::opensips_2_4, "2007:1876867394", call_id) ==
          Datagrams{line("8621876230466")});
    CHECK(datagrams(ProxyKind::opensips_2_4, "8621876230466", call_id) ==
          Datagrams{line("8621876230466")});
    CHECK(datagrams(ProxyKind::opensips_2_4, "?", call_id) == Datagrams{line(call_id)});
}

TEST_CASE("auto goes by the form of the id, best first")
{
    using Datagrams = std::vector<std::string>;
    CHECK(datagrams(ProxyKind::automatic, "2007:1876867394", "a@b") ==
          Datagrams{kamailio_call, json("8621876230466"), line("8621876230466"), line("a@b")});
    CHECK(datagrams(ProxyKind::automatic, "15028991519155", "a@b") ==
          Datagrams{json("bad.3b963b53"), json("a@b"), json("15028991519155"),
                    line("15028991519155"), line("a@b")});
    CHECK(datagrams(ProxyKind::automatic, "something", "a@b") ==
          Datagrams{json("a@b"), line("a@b")});
}

TEST_CASE("ids that are none are not sent as numbers")
{
    for (const char* id : {"", ":", "1:", ":1", "1:2:3", "-1:2", "1:4294967296", "1 :2", "x"}) {
        INFO(id);
        CHECK(ways_to_end(ProxyKind::kamailio, id, "a@b").empty());
        CHECK(datagrams(ProxyKind::opensips_2_4, id, "a@b") == std::vector{line("a@b")});
    }
    CHECK(ways_to_end(ProxyKind::kamailio, "18446744073709551616", "a@b").empty());
    CHECK(ways_to_end(ProxyKind::kamailio, "15028991519155", "a@b").empty());
}

TEST_CASE("a Call-ID stays one parameter, whatever is in it")
{
    CHECK(datagrams(ProxyKind::opensips, "", "a\"b\\c\n") == std::vector{json("a\\\"b\\\\c\\n")});
    for (const char* call_id : {"", "a\n:dlg_list:\n", "a\rb", "\"quoted\""}) {
        INFO(call_id);
        CHECK(ways_to_end(ProxyKind::opensips_2_4, "", call_id).empty());
    }
}

TEST_CASE("what real proxies ended is asked as it was asked then")
{
    struct Case {
        const char* transcript;
        const char* title;
        const char* dialog_id;
        const char* call_id;
    };
    const Case cases[] = {
        {"opensips-2.4.11", "numeric (h_entry<<32|h_id)", "2007:1876867394", ""},
        {"opensips-2.4.11", "Call-ID", "", "1-16670@10.91.1.2"},
        {"opensips-3.6.8", "reverse hex did", "15028991519155", ""},
        {"opensips-3.6.8", "Call-ID", "", "1-15663@10.91.1.2"},
        {"kamailio-5.6.3", "two numbers, existing dialog, bound socket (from another call)",
         "3902:6549", ""},
    };
    for (const Case& one : cases) {
        INFO(one.transcript << ": " << one.title);
        const ProxyTranscript transcript(one.transcript);
        const auto& exchange = transcript.titled(one.title);
        std::vector<std::string> ours = datagrams(ProxyKind::automatic, one.dialog_id, one.call_id);
        std::transform(ours.begin(), ours.end(), ours.begin(), without_blanks);
        CHECK_THAT(ours, Catch::VectorContains(without_blanks(exchange.request)));
        REQUIRE(exchange.answer);
        const auto answer = parse_end_dialog_answer(*exchange.answer);
        REQUIRE(answer);
        CHECK(answer->verdict == Verdict::ended);
    }
}

TEST_CASE("every answer of a real proxy is understood")
{
    struct Expected {
        Dialect dialect;
        Verdict verdict;
        int code;
        const char* message;
    };
    const std::map<std::string, Expected> expected = {
        {"500 command not available\n",
         {Dialect::lines, Verdict::refused, 500, "command not available"}},
        {"404 Requested Dialog not found\n\n",
         {Dialect::lines, Verdict::gone, 404, "Requested Dialog not found"}},
        {"200 OK\n\n", {Dialect::lines, Verdict::ended, 200, "OK"}},
        {"400 Parse_error", {Dialect::lines, Verdict::refused, 400, "Parse_error"}},
        {R"({"jsonrpc":"2.0","result":"OK","id":"1"})", {Dialect::json, Verdict::ended, 200, ""}},
        {R"({"jsonrpc":"2.0","error":{"code":404,"message":"Requested Dialog not found"},"id":"1"})",
         {Dialect::json, Verdict::gone, 404, "Requested Dialog not found"}},
        {R"({"jsonrpc":"2.0","error":{"code":-32601,"message":"Method not found"},"id":"1"})",
         {Dialect::json, Verdict::refused, -32601, "Method not found"}},
        {R"({"jsonrpc":"2.0","error":{"code":-32602,"message":"Invalid params","data":)"
         R"("Too few or too many parameters"},"id":"1"})",
         {Dialect::json, Verdict::refused, -32602, "Invalid params"}},
        {"{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"error\":\t{\n\t\t\"code\":\t500,\n\t\t\"message\":\t"
         "\"Invalid parameters\"\n\t},\n\t\"id\":\t\"1\"\n}",
         {Dialect::json, Verdict::refused, 500, "Invalid parameters"}},
        {"{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"error\":\t{\n\t\t\"code\":\t500,\n\t\t\"message\":\t"
         "\"Method Not Found\"\n\t},\n\t\"id\":\t\"1\"\n}",
         {Dialect::json, Verdict::refused, 500, "Method Not Found"}},
        {"{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"error\":\t{\n\t\t\"code\":\t404,\n\t\t\"message\":\t"
         "\"Dialog not found\"\n\t},\n\t\"id\":\t\"1\"\n}",
         {Dialect::json, Verdict::gone, 404, "Dialog not found"}},
        {"{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"error\":\t{\n\t\t\"code\":\t404,\n\t\t\"message\":\t"
         "\"Dialog not found\"\n\t},\n\t\"id\":\t\"7\"\n}",
         {Dialect::json, Verdict::gone, 404, "Dialog not found"}},
        {"{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"error\":\t{\n\t\t\"code\":\t400,\n\t\t\"message\":\t"
         "\"Need a Callid ,from tag ,to tag\"\n\t},\n\t\"id\":\t\"1\"\n}",
         {Dialect::json, Verdict::refused, 400, "Need a Callid ,from tag ,to tag"}},
        {"{\n\t\"jsonrpc\":\t\"2.0\",\n\t\"result\":\t{\n\t},\n\t\"id\":\t\"1\"\n}",
         {Dialect::json, Verdict::ended, 200, ""}},
    };
    std::size_t seen = 0;
    for (const char* name : {"opensips-2.4.11", "opensips-3.6.8", "kamailio-5.6.3"}) {
        for (const auto& exchange : ProxyTranscript(name).exchanges) {
            // The lists of dialogs are results too, of a question that we do not ask.
            if (!exchange.answer || exchange.title == "dlg_list" || exchange.title == "dlg.list")
                continue;
            INFO(name << ": " << exchange.title);
            const auto known = expected.find(*exchange.answer);
            REQUIRE(known != expected.end());
            const auto answer = parse_end_dialog_answer(*exchange.answer);
            REQUIRE(answer);
            CHECK(answer->dialect == known->second.dialect);
            CHECK(answer->verdict == known->second.verdict);
            CHECK(answer->code == known->second.code);
            CHECK(answer->message == known->second.message);
            const bool has_id = answer->dialect == Dialect::json;
            CHECK(answer->id == (!has_id ? "" : exchange.title.starts_with("FIFO") ? "7" : "1"));
            ++seen;
        }
    }
    CHECK(seen == 25);
}

TEST_CASE("what is no answer is nothing")
{
    const std::string nest = R"({"id":"1","result":)" + std::string(100000, '[');
    for (const std::string& text :
         {std::string(), std::string("OK"), std::string("20 OK"), std::string("2000 OK"),
          std::string("-404 x"), std::string("{"), std::string("{}"), std::string("[]"), nest,
          std::string(R"({"result":"OK"})"), std::string(R"({"result":"OK","id":null})"),
          std::string(R"({"jsonrpc":"2.0","id":"1"})"), std::string(1, '\0')}) {
        INFO(text.substr(0, 60));
        CHECK_FALSE(parse_end_dialog_answer(text));
    }
    CHECK_FALSE(parse_end_dialog_answer(R"({"id":"1","error":{"code":1e999999999}})"));
    CHECK(parse_end_dialog_answer(R"({"id":"1","error":{"code":1e99}})")->verdict ==
          Verdict::refused);
    CHECK(parse_end_dialog_answer(R"({"id":"1","error":"no"})")->verdict == Verdict::refused);
}
