# SPDX-License-Identifier: GPL-2.0-or-later
"""A hundred calls with media, and their records in MariaDB, PostgreSQL, SQLite and RADIUS at once."""
import json
import threading
import unittest

from lab import runs
from lab.cluster import both_settings, ports_of
from lab.daemon import Daemon, merged, until
from lab.freeradius import OUR_DICTIONARY, FreeRadius
from lab.mariadb import MariaDB
from lab.postgres import Postgres
from lab.rtp_socket import IPV4_HEADERS, PAYLOAD, RtpSocket

CALLS = 100
PROXIES = 4
PATIENCE = 60  # seconds
CODECS = {0: "G711u", 8: "G711a", 9: "G722", 18: "G729"}


class Call:
    """One call: what it does, and what has to be written of it."""

    def __init__(self, number):
        self.number = number
        self.call_id = f"call-{number}@example.com"
        self.tags = (f"from-{number}", f"to-{number}")
        self.packets = (1 + number % 7, 2 + number % 11)
        kinds = sorted(CODECS)
        self.payload_types = (kinds[number % 4], kinds[number // 4 % 4])
        self.user = f"user{number}@example.com" if number % 3 else None
        self.caller, self.callee = RtpSocket(), RtpSocket()

    def close(self):
        self.caller.close()
        self.callee.close()

    def play(self, proxy):
        signaling = json.dumps({"signaling_ip": "127.0.0.1", "username": self.user})
        more = {"from_tag": self.tags[0], "signaling_ip": signaling if self.user else "127.0.0.1"}
        self.told = [
            ports_of(proxy.update(self.call_id, self.caller.media(), user_agent="Alice", **more)),
            ports_of(
                proxy.update(self.call_id, self.callee.media(), kind="reply", to_tag=self.tags[1],
                             user_agent="Bob", **more)
            ),
        ]
        (to_callee,), (to_caller,) = self.told
        self.caller.say(to_caller, self.packets[0], self.payload_types[0])
        self.callee.hear(self.packets[0])
        self.callee.say(to_callee, self.packets[1], self.payload_types[1])
        self.caller.hear(self.packets[1])
        answer = proxy.remove(self.call_id, *self.tags)
        if answer != "removed":
            raise AssertionError(f"{self.call_id}: remove was answered {answer!r}")

    def expected(self):
        (to_callee,), (to_caller,) = self.told
        return {
            "call_id": self.call_id,
            "from_tag": self.tags[0],
            "to_tag": self.tags[1],
            "from_uri": "alice@example.com",
            "to_uri": "bob@example.net",
            "caller_ua": "Alice",
            "callee_ua": "Bob",
            "username": self.user,
            "timed_out": False,
        }, {
            "media_type": "audio",
            "status": "closed",
            "caller_packets": self.packets[0],
            "callee_packets": self.packets[1],
            "caller_bytes": self.packets[0] * (PAYLOAD + IPV4_HEADERS),
            "callee_bytes": self.packets[1] * (PAYLOAD + IPV4_HEADERS),
            "caller_codec": CODECS[self.payload_types[0]],
            "callee_codec": CODECS[self.payload_types[1]],
            "caller_remote": f"127.0.0.1:{self.caller.port}",
            "callee_remote": f"127.0.0.1:{self.callee.port}",
            "caller_local": f"127.0.0.1:{to_caller}",
            "callee_local": f"127.0.0.1:{to_callee}",
        }

    def expected_attributes(self):
        return {
            "Acct-Status-Type": "Interim-Update",
            "User-Name": self.user or "mediaproxy@default",
            "Acct-Session-Id": self.call_id,
            "Sip-From-Tag": self.tags[0],
            "Sip-To-Tag": self.tags[1],
            "Acct-Input-Octets": str(self.packets[0] * (PAYLOAD + IPV4_HEADERS)),
            "Acct-Output-Octets": str(self.packets[1] * (PAYLOAD + IPV4_HEADERS)),
            "NAS-IP-Address": "127.0.0.1",
            "Sip-User-Agents": "Alice+Bob",
            "Media-Codecs": CODECS[self.payload_types[0]],
            "Acct-Delay-Time": "0",
        }


class EverySystem(unittest.TestCase):
    def setUp(self):
        self.folder = runs.folder("every-system")
        self.mariadb, self.postgres = self.own(MariaDB()), self.own(Postgres())
        self.radius = self.own(FreeRadius()).start()
        self.mariadb.reset()
        self.postgres.reset()

    def own(self, thing):
        self.addCleanup(thing.close)
        return thing

    def start_daemon(self):
        client = self.folder / "client.conf"
        client.write_text(
            f"acctserver 127.0.0.1:{self.radius.port}:{self.radius.secret}\n"
            "radius_timeout 2\nradius_retries 3\n"
        )
        tables = {
            "mysql": self.mariadb.settings(),
            "postgres": self.postgres.settings(),
            "radius": {"config_file": str(client), "additional_dictionary": str(OUR_DICTIONARY)},
        }
        daemon = Daemon(
            "daemon",
            self.folder,
            merged(
                both_settings(),
                {"dispatcher": {"accounting": [*tables, "sqlite"]}, "accounting": tables},
            ),
        )
        self.addCleanup(daemon.kill)
        return daemon.start()

    def play(self, daemon, calls):
        problems = []

        def some(first):
            proxy = daemon.connect()
            try:
                for call in calls[first::PROXIES]:
                    call.play(proxy)
            except Exception as problem:  # the main thread tells it
                problems.append(problem)
            finally:
                proxy.close()

        proxies = [threading.Thread(target=some, args=(first,)) for first in range(PROXIES)]
        for proxy in proxies:
            proxy.start()
        for proxy in proxies:
            proxy.join()
        self.assertEqual(problems, [])

    def test_a_hundred_calls_are_a_hundred_records_in_each(self):
        daemon = self.start_daemon()
        calls = [self.own(Call(number)) for number in range(CALLS)]
        self.play(daemon, calls)

        def counts():
            return {
                "mysql": len(self.mariadb.rows()),
                "postgres": len(self.postgres.rows()),
                "radius": len(self.radius.records()),
                "sqlite": len(daemon.rows()),
            }

        everywhere = dict.fromkeys(("mysql", "postgres", "radius", "sqlite"), CALLS)
        until(lambda: min(counts().values()) >= CALLS, PATIENCE,
              lambda: f"{counts()}: {daemon.tail()}")
        daemon.stop()
        self.assertEqual(counts(), everywhere)

        reference = {row[0]: row for row in daemon.rows()}
        databases = {
            "mysql": [(*row[:3], json.loads(row[3])) for row in self.mariadb.rows()],
            "postgres": [(*row[:3], json.loads(row[3])) for row in self.postgres.rows()],
            "sqlite": list(reference.values()),
        }
        for name, rows in databases.items():
            with self.subTest(name):
                rows = {row[0]: row for row in rows}
                for call in calls:
                    session, stream = call.expected()
                    call_id, from_tag, to_tag, info = rows[call.call_id]
                    self.assertEqual((call_id, from_tag, to_tag), (call.call_id, *call.tags))
                    self.assertEqual({key: info[key] for key in session}, session)
                    (told,) = info["streams"]
                    self.assertEqual({key: told[key] for key in stream}, stream)
                    self.assertEqual(info, reference[call.call_id][3])
        records = {record["Acct-Session-Id"]: record for record in self.radius.records()}
        for call in calls:
            wanted, record = call.expected_attributes(), records[call.call_id]
            self.assertEqual({key: record.get(key) for key in wanted}, wanted)
            self.assertEqual(
                record["Acct-Session-Time"], str(reference[call.call_id][3]["duration"])
            )
