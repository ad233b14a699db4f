# SPDX-License-Identifier: GPL-2.0-or-later
"""Accounting to RADIUS: a whole daemon before FreeRADIUS, and before servers as no real one is."""
import json
import socket
import time
import unittest

from lab import fake_radius, runs
from lab.cluster import both_settings, dispatcher_settings, make_certs, ports_of
from lab.daemon import Daemon, merged, until
from lab.fake_radius import FakeRadius
from lab.fake_relay import FakeRelay
from lab.freeradius import OUR_DICTIONARY, FreeRadius, free_udp_port
from lab.unhurt import ANSWER, OFFER

PATIENCE = 30  # seconds; retries come after 1, 2, 4, 8 s


class RadiusCase(unittest.TestCase):
    """A test with a folder and daemons of its own."""

    def setUp(self):
        self.folder = runs.folder(self._testMethodName)

    def freeradius(self, **options):
        server = FreeRadius(**options)
        self.addCleanup(server.close)
        return server.start()

    def fake(self, judge):
        server = FakeRadius(judge)
        self.addCleanup(server.close)
        return server

    def client_file(self, *servers, name="client.conf", tries=3, more=""):
        """The proxy's client configuration and its secrets; `servers` are (port, secret)."""
        secrets = self.folder / f"{name}.servers"
        secrets.write_text("".join(f"127.0.0.1 {secret}\n" for _, secret in servers[:1]))
        lines = [f"acctserver 127.0.0.1:{port}:{secret}" for port, secret in servers[1:]]
        path = self.folder / name
        path.write_text(
            "# As old packages have it\n"
            "auth_order radius,local\nlogin_tries 4\nnologin /etc/nologin\nauthserver nowhere\n"
            f"acctserver 127.0.0.1:{servers[0][0]}\n" + "\n".join(lines) + "\n"
            f"servers {secrets}\nradius_timeout 1\nradius_retries {tries}\nbindaddr *\n"
            f"seqfile /var/run/radius.seq\n{more}"
        )
        return path

    @staticmethod
    def back_end(config_file, **changes):
        settings = {"plugin": "radius", "config_file": str(config_file)}
        return {**settings, "additional_dictionary": str(OUR_DICTIONARY), **changes}

    def daemon(self, tables, **changes):
        """Both roles; `tables` are the accounting back ends, SQLite beside them."""
        settings = merged(
            both_settings(),
            {
                "dispatcher": {"accounting": [*tables, "sqlite"]},
                "accounting": tables,
                **changes,
            },
        )
        daemon = Daemon("daemon", self.folder, settings)
        self.addCleanup(daemon.kill)
        return daemon.start()

    def connect(self, daemon):
        proxy = daemon.connect()
        self.addCleanup(proxy.close)
        return proxy

    def call(self, proxy, call_id, **more):
        ports_of(proxy.update(call_id, OFFER, **more))
        ports_of(proxy.update(call_id, ANSWER, kind="reply", to_tag="B", **more))
        self.assertEqual(proxy.remove(call_id), "removed")

    def await_calls(self, server, names, daemon):
        """The server's records by call, once these are in it; each is there once.

        The server has several threads: it writes them in any order.
        """
        until(
            lambda: len(server.records()) >= len(names),
            PATIENCE,
            lambda: f"{len(server.records())} records of {len(names)}: {daemon.tail()}",
        )
        daemon.stop()
        records = sorted(server.records(), key=lambda record: record["Acct-Session-Id"])
        self.assertEqual([r["Acct-Session-Id"] for r in records], sorted(names))
        return records

    def await_log(self, daemon, *words):
        until(
            lambda: daemon.logged(*words), PATIENCE, lambda: f"no word of {words}: {daemon.tail()}"
        )


def expected_record(info):
    """The attributes that the statistics of a call stand for."""
    streams = info["streams"]
    host = streams[0]["caller_local"].rpartition(":")[0]
    delays = [s["post_dial_delay"] for s in streams if s["post_dial_delay"] is not None]
    lasting = {s["media_type"] for s in streams if s["end_time"] > s["start_time"]}
    return {
        "Acct-Status-Type": "Interim-Update",
        "User-Name": info["username"] or "mediaproxy@default",
        "Acct-Session-Id": info["call_id"],
        "Sip-From-Tag": info["from_tag"],
        "Sip-To-Tag": info["to_tag"],
        "Acct-Session-Time": str(info["duration"]),
        "Acct-Input-Octets": str(sum(s["caller_bytes"] for s in streams)),
        "Acct-Output-Octets": str(sum(s["callee_bytes"] for s in streams)),
        ("NAS-IPv6-Address" if ":" in host else "NAS-IP-Address"): host,
        "Sip-User-Agents": info["caller_ua"] + "+" + info["callee_ua"],
        **({"Sip-Applications": ", ".join(sorted(lasting))} if lasting else {}),
        "Media-Codecs": ", ".join(s["caller_codec"] for s in streams),
        **({"Acct-Delay-Time": str(int(delays[0]))} if delays else {}),
    }


class Phone:
    """A socket that sends to the relay."""

    def __init__(self, case, address):
        self.sock = socket.socket(
            socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM
        )
        case.addCleanup(self.sock.close)
        self.sock.bind((address, 0))
        self.address, self.port = address, self.sock.getsockname()[1]

    def media(self):
        return f"audio:{self.address}:{self.port}:sendrecv:ice=no"

    def talk(self, port, packets, payload_type):
        for number in range(packets):
            self.sock.sendto(
                bytes([0x80, payload_type, 0, number]) + bytes(96), (self.address, port)
            )


class Freeradius(RadiusCase):
    """Before a real server."""

    def talk(self, proxy, call_id, address, packets):
        """A call whose caller sends so many packets, and its callee twice as many."""
        alice, bob = Phone(self, address), Phone(self, address)
        (to_bob,) = ports_of(proxy.update(call_id, alice.media(), user_agent="Alice"))
        (to_alice,) = ports_of(
            proxy.update(call_id, bob.media(), kind="reply", to_tag="B", user_agent="Bob")
        )
        alice.talk(to_alice, packets, 8)
        bob.talk(to_bob, 2 * packets, 0)

    def test_a_record_says_field_by_field_what_the_call_did(self):
        server = self.freeradius()
        daemon = self.daemon(
            {"radius": self.back_end(self.client_file((server.port, server.secret)))},
            relay={"relay_ip": ["127.0.0.1", "::1"], "routable_private_ranges": ["::1/128"]},
        )
        proxy = self.connect(daemon)
        self.talk(proxy, "four@example.com", "127.0.0.1", 5)
        self.talk(proxy, "six@example.com", "::1", 7)
        packets = {"four@example.com": (5, 10), "six@example.com": (7, 14)}

        def all_counted():
            counts = {s["call_id"]: s["streams"][0] for s in daemon.sessions()}
            return packets == {
                name: (stream["caller_packets"], stream["callee_packets"])
                for name, stream in counts.items()
            } and min(s["duration"] for s in daemon.sessions()) >= 1

        until(all_counted, PATIENCE, lambda: f"not all packets came: {daemon.sessions()}")
        for name in packets:
            self.assertEqual(proxy.remove(name), "removed")
        rows = until(
            lambda: len(daemon.rows()) == 2 and daemon.rows(), PATIENCE, "SQLite lacks one"
        )
        records = self.await_calls(server, packets, daemon)
        for record, row in zip(records, sorted(rows)):
            self.assertEqual(record, expected_record(row[3]))
        four, six = records
        self.assertEqual(four["Acct-Input-Octets"], str(5 * (100 + 28)))
        self.assertEqual(four["Acct-Output-Octets"], str(10 * (100 + 28)))
        self.assertEqual(six["Acct-Input-Octets"], str(7 * (100 + 48)))
        self.assertEqual(four["NAS-IP-Address"], "127.0.0.1")
        self.assertEqual(six["NAS-IPv6-Address"], "::1")
        for record in records:
            self.assertEqual(record["Sip-User-Agents"], "Alice+Bob")
            self.assertEqual(record["Media-Codecs"], "G711a")
            self.assertEqual(record["Sip-Applications"], "audio")
            self.assertEqual(record["Acct-Delay-Time"], "0")

    def test_a_hundred_calls_leave_exactly_a_hundred_records(self):
        server = self.freeradius()
        server.stop()
        daemon = self.daemon(
            {"radius": self.back_end(self.client_file((server.port, server.secret)))}
        )
        proxy = self.connect(daemon)
        names = [f"call-{number}" for number in range(100)]
        self.call(proxy, names[0])
        self.await_log(daemon, "Connection refused")
        for name in names[1:]:
            self.call(proxy, name)
        server.start()  # they come in one batch
        self.await_calls(server, names, daemon)

    def test_a_server_that_is_restarted_gets_what_happened_meanwhile(self):
        server = self.freeradius()
        daemon = self.daemon(
            {"radius": self.back_end(self.client_file((server.port, server.secret)))}
        )
        proxy = self.connect(daemon)
        self.call(proxy, "before")
        until(server.records, PATIENCE, daemon.tail)
        server.stop()
        for name in ("meanwhile-1", "meanwhile-2"):
            self.call(proxy, name)
        self.await_log(daemon, "Connection refused")
        server.start()
        self.call(proxy, "after")
        self.await_calls(server, ["before", "meanwhile-1", "meanwhile-2", "after"], daemon)

    def test_a_second_server_takes_over_from_one_that_is_down(self):
        first, second = self.freeradius(), self.freeradius()
        config = self.client_file((first.port, first.secret), (second.port, second.secret))
        daemon = self.daemon({"radius": self.back_end(config)})
        proxy = self.connect(daemon)
        self.call(proxy, "to-the-first")
        until(first.records, PATIENCE, daemon.tail)
        first.stop()
        names = [f"to-the-second-{number}" for number in range(10)]
        for name in names:
            self.call(proxy, name)
        self.await_calls(second, names, daemon)
        self.assertEqual(len(first.records()), 1)

    def test_a_server_may_have_an_ipv6_address(self):
        server = self.freeradius()
        config = self.client_file(
            (free_udp_port(), "nobody"), more=f"acctserver [::1]:{server.port}:{server.secret}\n"
        )
        daemon = self.daemon({"radius": self.back_end(config)})
        self.call(self.connect(daemon), "one")
        self.await_calls(server, ["one"], daemon)

    def test_a_second_server_takes_over_from_one_that_is_silent(self):
        first, second = self.fake(lambda request: []), self.freeradius()
        config = self.client_file(
            (first.port, "anything"), (second.port, second.secret), tries=1
        )
        daemon = self.daemon({"radius": self.back_end(config)})
        proxy = self.connect(daemon)
        self.call(proxy, "one")
        until(second.records, PATIENCE, daemon.tail)
        for name in ("two", "three"):
            self.call(proxy, name)
        self.await_calls(second, ["one", "two", "three"], daemon)
        self.assertEqual(first.calls(), ["one"])  # then it rests

    def test_records_wait_until_a_wrong_secret_is_put_right(self):
        server = self.freeradius()
        config = self.client_file((server.port, "mistyped"), tries=1)
        daemon = self.daemon({"radius": self.back_end(config)})
        proxy = self.connect(daemon)
        names = ["one", "two", "three"]
        for name in names:
            self.call(proxy, name)
        self.await_log(daemon, "accounting.radius", "no answer to 1 tries")
        self.assertEqual(server.records(), [])
        self.client_file((server.port, server.secret), tries=1)
        self.await_calls(server, names, daemon)

    def test_two_back_ends_with_files_of_their_own_work_side_by_side(self):
        """The second one's proxy has other numbers for the tags, and bills on Stop."""
        words = "ATTRIBUTE Sip-From-Tag 181 string\nATTRIBUTE Sip-To-Tag 180 string\n"
        one, two = self.freeradius(), self.freeradius(secret="another", dictionary=words)
        dictionary = self.folder / "dictionary"
        dictionary.write_text(words)
        first = self.client_file((one.port, one.secret), name="one.conf")
        second = self.client_file(
            (two.port, two.secret), name="two.conf", more=f"dictionary {dictionary}\n"
        )
        daemon = self.daemon(
            {
                "one": self.back_end(first),
                "two": self.back_end(
                    second,
                    acct_status_type="Stop",
                    event_timestamp=True,
                    record_id_attribute="Acct-Multi-Session-Id",
                ),
            }
        )
        proxy = self.connect(daemon)
        names = [f"call-{number}" for number in range(5)]
        for name in names:
            self.call(proxy, name)
        rows = until(lambda: len(daemon.rows()) == 5 and daemon.rows(), PATIENCE, daemon.tail)
        until(lambda: len(two.records()) == 5, PATIENCE, daemon.tail)
        for record in self.await_calls(one, names, daemon):
            self.assertEqual(record["Acct-Status-Type"], "Interim-Update")
            self.assertNotIn("Acct-Multi-Session-Id", record)
        record_ids = {row[0]: row[3]["record_id"] for row in rows}
        for record in two.records():
            self.assertEqual(record["Acct-Status-Type"], "Stop")
            self.assertEqual((record["Sip-From-Tag"], record["Sip-To-Tag"]), ("A", "B"))
            self.assertEqual(
                record["Acct-Multi-Session-Id"], record_ids[record["Acct-Session-Id"]]
            )
            self.assertIn("Event-Timestamp", record)


class Strange(RadiusCase):
    """Before servers that do what no real one does, or should."""

    def strange(self, judge, tries=3):
        """Such a server, a daemon that sends there, and a connection to it."""
        server = self.fake(judge)
        config = self.client_file((server.port, fake_radius.SECRET), tries=tries)
        daemon = self.daemon({"radius": self.back_end(config)})
        return server, daemon, self.connect(daemon)

    def await_recovery(self, server, daemon, call_id):
        """From now on it is as it should be: the record comes, and then comes no more."""
        taken = []

        def judge(request):
            taken.append(fake_radius.call_id(request))
            return [fake_radius.answer(request)]

        server.judge = judge
        until(lambda: taken, PATIENCE, lambda: f"no record: {daemon.tail()}")
        proxy = self.connect(daemon)
        self.call(proxy, "later")
        until(lambda: "later" in taken, PATIENCE, lambda: f"{taken}: {daemon.tail()}")
        self.assertEqual(taken, [call_id, "later"])

    def test_a_silent_server_keeps_nothing_but_its_records_waiting(self):
        server, daemon, proxy = self.strange(lambda request: [], tries=2)
        self.call(proxy, "one")
        self.await_log(daemon, f"127.0.0.1:{server.port}: no answer to 2 tries")
        self.assertEqual(server.requests[0][0], server.requests[1][0])
        until(lambda: daemon.rows("one"), PATIENCE, "SQLite waits too")
        self.assertLess(proxy.slowest, 0.4)
        self.await_recovery(server, daemon, "one")

    def test_an_answer_with_another_secret_is_none(self):
        server, daemon, proxy = self.strange(
            lambda request: [fake_radius.answer(request, "wrong")], tries=1
        )
        self.call(proxy, "one")
        self.await_log(daemon, "answers that do not fit the request and the secret")
        self.await_recovery(server, daemon, "one")

    def test_garbage_is_no_answer(self):
        def garbage(request):
            good = fake_radius.answer(request)
            return [
                b"",
                b"\x05",
                bytes(4000),
                request,
                good[:-1],
                good[:10] + bytes([good[10] ^ 1]) + good[11:],
                b"\x03" + good[1:],
                good[:2] + b"\xff\xff" + good[4:],
            ]

        server, daemon, proxy = self.strange(garbage, tries=1)
        self.call(proxy, "one")
        self.await_log(daemon, "answers that do not fit")
        server.judge = lambda request: [*garbage(request), fake_radius.answer(request)]
        taken = len(server.requests)
        server.await_requests(taken + 1)  # behind garbage the right answer still counts
        self.call(proxy, "two")
        until(lambda: "two" in server.calls(), PATIENCE, daemon.tail)
        self.assertEqual(server.calls()[taken:], ["one", "two"])

    def test_a_late_answer_counts_while_it_is_waited_for(self):
        """It answers the first request when the second one comes, as a slow server does."""
        seen = set()

        def slowly(request):
            late = request in seen
            seen.add(request)
            return [fake_radius.answer(request)] if late else []

        server, daemon, proxy = self.strange(slowly)
        self.call(proxy, "one")
        server.await_requests(2)
        self.call(proxy, "two")
        server.await_requests(4)
        self.assertEqual(server.calls(), ["one", "one", "two", "two"])
        self.assertEqual(daemon.logged("accounting.radius", "no answer"), [])

    def test_the_answer_to_an_older_request_is_none(self):
        server, daemon, proxy = self.strange(
            lambda request: [fake_radius.answer(request)], tries=1
        )
        self.call(proxy, "zero")
        server.await_requests(1)
        old = fake_radius.answer(server.requests[0][0])
        server.judge = lambda request: [old]
        self.call(proxy, "one")
        self.await_log(daemon, "answers that do not fit the request")
        self.await_recovery(server, daemon, "one")

    def test_the_daemon_stops_at_once_while_a_server_is_silent(self):
        server = self.fake(lambda request: [])
        config = self.client_file((server.port, fake_radius.SECRET), tries=100)
        daemon = self.daemon({"radius": self.back_end(config)})
        self.call(self.connect(daemon), "one")
        server.await_requests(1)
        begin = time.monotonic()
        daemon.stop()
        self.assertLess(time.monotonic() - begin, 8)

    def test_a_client_file_that_is_not_there_yet_is_waited_for(self):
        server = self.freeradius()
        daemon = self.daemon({"radius": self.back_end(self.folder / "client.conf")})
        self.call(self.connect(daemon), "one")
        self.await_log(daemon, "client.conf: No such file")
        self.client_file((server.port, server.secret))
        self.await_calls(server, ["one"], daemon)


class Reports(RadiusCase):
    """What no call in a test does, told by a relay that reports what the test likes."""

    def setUp(self):
        super().setUp()
        self.server = self.freeradius()
        config = self.client_file((self.server.port, self.server.secret))
        certs = make_certs(self.folder / "tls")
        settings = merged(
            dispatcher_settings(certs),
            {
                "dispatcher": {"accounting": ["radius"]},
                "accounting": {"sqlite": None, "radius": self.back_end(config)},
            },
        )
        self.dispatcher = Daemon("dispatcher", self.folder, settings)
        self.addCleanup(self.dispatcher.kill)
        self.dispatcher.start()
        self.relay = FakeRelay(
            settings["dispatcher"]["listen"], certs, lambda seq, _: [f"{seq} 127.0.0.1 50000"]
        )
        self.addCleanup(self.relay.close)
        self.assertTrue(self.relay.asked_for_sessions.wait(5), "the relay is not asked")
        self.await_log(self.dispatcher, "relay 127.0.0.1", "ready")

    def report(self, streams, **changes):
        """The record of an answered call of which the relay reports this."""
        proxy = self.connect(self.dispatcher)
        ports_of(proxy.update("call", OFFER))
        ports_of(proxy.update("call", ANSWER, kind="reply", to_tag="B"))
        statistics = {
            "call_id": "call",
            "from_tag": "A",
            "to_tag": "B",
            "from_uri": "alice@example.com",
            "to_uri": "bob@example.net",
            "start_time": 1700000000.5,
            "duration": 75,
            "caller_ua": "Unknown",
            "callee_ua": "Unknown",
            "username": None,
            "all_streams_ice": False,
            "streams": streams,
            **changes,
        }
        self.relay.say("expired " + json.dumps(statistics))
        (record,) = self.await_calls(self.server, ["call"], self.dispatcher)
        return record

    @staticmethod
    def stream(**changes):
        return {
            "media_type": "audio",
            "status": "no-traffic timeout",
            "timeout_wait": 90,
            "caller_codec": "G711a",
            "callee_codec": "G711a",
            "start_time": 0,
            "end_time": 75,
            "post_dial_delay": None,
            **{f"{side}_bytes": 0 for side in ("caller", "callee")},
            **{f"{side}_packets": 0 for side in ("caller", "callee")},
            **{f"{side}_local": "192.0.2.7:50000" for side in ("caller", "callee")},
            **{f"{side}_remote": "Unknown" for side in ("caller", "callee")},
            **changes,
        }

    def test_octets_past_32_bits_have_their_gigawords(self):
        streams = [
            self.stream(caller_bytes=3 * 2**32, callee_bytes=2**32 - 1),
            self.stream(caller_bytes=7, media_type="video", caller_codec="H261"),
        ]
        record = self.report(streams, username="alice@example.com")
        self.assertEqual(
            record,
            {
                "Acct-Status-Type": "Interim-Update",
                "User-Name": "alice@example.com",
                "Acct-Session-Id": "call",
                "Sip-From-Tag": "A",
                "Sip-To-Tag": "B",
                "Acct-Session-Time": "75",
                "Acct-Input-Octets": "7",
                "Acct-Input-Gigawords": "3",
                "Acct-Output-Octets": "4294967295",
                "NAS-IP-Address": "192.0.2.7",
                "Sip-Applications": "audio, video",
                "Media-Codecs": "G711a, H261",
                "Media-Info": "timeout",
            },
        )

    def test_a_session_of_ice_says_so(self):
        record = self.report(
            [self.stream(status="unselected ICE candidate")], all_streams_ice=True
        )
        self.assertEqual(record["Media-Info"], "ICE session")

    def test_long_text_is_cut_between_characters(self):
        record = self.report([self.stream()], caller_ua="ü" * 200, callee_ua="Bob")
        self.assertEqual(record["Sip-User-Agents"], "ü" * 126)
        self.assertTrue(self.dispatcher.logged("Sip-User-Agents of record", "was cut"))

    def test_text_of_any_kind_arrives_as_it_is(self):
        agent = "Téléphone \"中文\" \\ % {x} 📞 'q'"
        record = self.report([self.stream()], caller_ua=agent, callee_ua="Bob")
        self.assertEqual(record["Sip-User-Agents"], agent + "+Bob")


if __name__ == "__main__":
    unittest.main()
