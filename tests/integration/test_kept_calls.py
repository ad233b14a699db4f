# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls with media whose relay, dispatcher or both are killed: each is one record, with counters."""
import contextlib
import re
import signal
import socket
import sqlite3
import time
import unittest

from lab import runs
from lab.cable import Cable
from lab.cluster import both_settings, dispatcher_settings, make_certs, ports_of, relay_settings
from lab.daemon import Daemon, merged, until

RTP = bytes([0x80, 0]) + bytes(170)


class Phones:
    """Two phones that send media through the relay."""

    def __init__(self, case):
        self.sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for sock in self.sockets:
            case.addCleanup(sock.close)
            sock.bind(("127.0.0.1", 0))
            sock.settimeout(2)
        self.relay = []

    def call(self, connection, call_id):
        caller, callee = (
            f"audio:127.0.0.1:{sock.getsockname()[1]}:sendrecv:ice=no" for sock in self.sockets
        )
        to_callee = connection.update(call_id, caller)
        to_caller = connection.update(call_id, callee, kind="reply", to_tag="B")
        self.relay = [ports_of(to_caller)[0], ports_of(to_callee)[0]]

    def talk(self, packets=10):
        for _ in range(packets):
            for sock, port in zip(self.sockets, self.relay):
                sock.sendto(RTP, ("127.0.0.1", port))
            for sock in self.sockets:
                sock.recv(2048)


class KeptCalls(unittest.TestCase):
    def setUp(self):
        self.folder = runs.folder(self._testMethodName)

    def record_of(self, dispatcher, call_id):
        """Its one record, once all is said."""
        until(lambda: dispatcher.rows(call_id), 15, lambda: f"no record: {dispatcher.tail()}")
        rows = dispatcher.rows(call_id)
        self.assertEqual(len(rows), 1, rows)
        return rows[0][3]

    def saved(self, daemon, table="relay-calls"):
        """The calls and reports in the store of a relay, or what else it keeps."""
        name = "mediaproxyd.sqlite" if "accounting" in daemon.settings else "mediaproxyd-relay.sqlite"
        with contextlib.closing(
            sqlite3.connect(f"file:{daemon.folder / name}?mode=ro", uri=True, timeout=5)
        ) as database:
            return [
                row[0].decode() if isinstance(row[0], bytes) else row[0]
                for row in database.execute("select value from state where name = ?", (table,))
            ]

    def await_saved(self, daemon, what, table="relay-calls"):
        return until(
            lambda: re.search(what, "\n".join(self.saved(daemon, table)), re.MULTILINE),
            10,
            lambda: f"{what} is not in {self.saved(daemon, table)}",
        )

    def await_ten_packets_each_way(self, daemon):
        self.await_saved(daemon, r"^\S+ 10 \d+ 10 \d+ ", "relay-traffic")


class OverTheNetwork(KeptCalls):
    def setUp(self):
        super().setUp()
        certs = make_certs(self.folder / "tls")
        self.dispatcher = Daemon("d", self.folder, dispatcher_settings(certs, relay_timeout=1))
        self.addCleanup(self.dispatcher.kill)
        self.cable = Cable(self.dispatcher.settings["dispatcher"]["listen"])
        self.relay = Daemon(
            "r",
            self.folder,
            relay_settings(
                certs,
                "r1",
                [self.cable.endpoint],
                save_interval=1,
                idle_timeout=3,
            ),
        )
        self.addCleanup(self.relay.kill)
        self.dispatcher.start()
        self.relay.launch()
        self.await_relay()
        self.phones = Phones(self)

    def await_relay(self):
        until(
            lambda: [r for r in self.dispatcher.relays() if r.get("status") == "active"],
            15,
            self.dispatcher.tail,
        )

    def connection(self):
        connection = self.dispatcher.connect()
        self.addCleanup(connection.close)
        return connection

    def talking(self, call_id):
        """A call of which the relay has saved that twenty packets went through it."""
        connection = self.connection()
        self.phones.call(connection, call_id)
        self.phones.talk(10)
        self.await_ten_packets_each_way(self.relay)
        return connection

    def nothing_is_left(self):
        until(lambda: not self.saved(self.relay), 10, lambda: f"left: {self.saved(self.relay)}")

    def test_a_killed_relay_reports_the_call_with_its_counters(self):
        connection = self.talking("killed")
        self.relay.kill()
        self.relay.launch()
        record = self.record_of(self.dispatcher, "killed")
        self.assertIs(record["lost"], True)
        self.assertIs(record["timed_out"], True)
        self.assertEqual(record["streams"][0]["caller_packets"], 10)
        self.assertEqual(record["streams"][0]["callee_packets"], 10)
        self.nothing_is_left()
        self.assertEqual(connection.remove("killed"), "removed")
        self.assertEqual(len(self.dispatcher.rows("killed")), 1)

    def test_a_call_removed_while_its_killed_relay_was_away_has_not_timed_out(self):
        connection = self.talking("removed")
        self.relay.kill()
        until(
            lambda: not self.dispatcher.relays(), 10, lambda: f"still: {self.dispatcher.relays()}"
        )
        self.assertEqual(connection.remove("removed"), "removed")
        self.relay.launch()
        record = self.record_of(self.dispatcher, "removed")
        self.assertIs(record["timed_out"], False)
        self.assertEqual(record["streams"][0]["caller_packets"], 10)
        self.nothing_is_left()

    def test_a_killed_relay_that_lost_its_state_leaves_the_record_to_the_dispatcher(self):
        self.talking("stateless")
        self.relay.kill()
        for file in self.relay.folder.glob("mediaproxyd-relay.sqlite*"):
            file.unlink()
        self.relay.launch()
        record = self.record_of(self.dispatcher, "stateless")
        self.assertIs(record["lost"], True)
        self.assertEqual(record["streams"], [])

    def test_both_are_killed_one_after_the_other(self):
        self.talking("both")
        self.relay.kill()
        self.dispatcher.kill()
        self.dispatcher.start()
        self.relay.launch()
        record = self.record_of(self.dispatcher, "both")
        self.assertEqual(record["streams"][0]["caller_packets"], 10)
        self.nothing_is_left()
        self.assertEqual(len(self.dispatcher.rows("both")), 1)

    def test_a_call_that_ends_while_the_dispatcher_is_down_outlives_the_relay(self):
        self.talking("nobody")
        self.dispatcher.kill()
        self.await_saved(self.relay, "conntrack timeout")
        self.relay.kill()
        self.dispatcher.start()
        self.relay.launch()
        record = self.record_of(self.dispatcher, "nobody")
        self.assertNotIn("lost", record)
        self.assertIs(record["timed_out"], True)
        self.assertEqual(record["streams"][0]["status"], "conntrack timeout")
        self.nothing_is_left()

    def test_a_removal_whose_answer_is_lost_with_the_link(self):
        connection = self.talking("cut")
        self.dispatcher.signal(signal.SIGSTOP)
        connection.sock.sendall(b"remove\r\ncall_id: cut\r\nfrom_tag: A\r\nto_tag: B\r\n\r\n")
        self.cable.hold()
        self.dispatcher.resume()
        # The dispatcher has asked, nothing goes through any more.
        time.sleep(0.1)
        self.cable.cut()
        self.cable.mend()
        record = self.record_of(self.dispatcher, "cut")
        self.assertNotIn("lost", record)
        self.assertIs(record["timed_out"], False)
        self.assertEqual(record["streams"][0]["caller_packets"], 10)
        self.nothing_is_left()


class InOneProcess(KeptCalls):
    def test_a_killed_process_makes_one_record_of_each_call(self):
        settings = merged(both_settings(save_interval=1), {"dispatcher": {"listen": []}})
        daemon = Daemon("both", self.folder, settings)
        self.addCleanup(daemon.kill)
        daemon.start()
        connection = daemon.connect()
        self.addCleanup(connection.close)
        phones = Phones(self)
        phones.call(connection, "removed")
        phones.talk()
        self.assertEqual(connection.remove("removed"), "removed")
        phones.call(connection, "running")
        phones.talk(10)
        self.await_ten_packets_each_way(daemon)
        daemon.kill()
        daemon.start()
        record = self.record_of(daemon, "running")
        self.assertIs(record["lost"], True)
        self.assertEqual(record["streams"][0]["callee_packets"], 10)
        record = self.record_of(daemon, "removed")
        self.assertNotIn("lost", record)
        until(lambda: not self.saved(daemon), 10, lambda: f"left: {self.saved(daemon)}")
        self.assertEqual(len(daemon.rows()), 2)
