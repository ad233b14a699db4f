# SPDX-License-Identifier: GPL-2.0-or-later
"""A test with a place, a daemon that forwards with one back end, and phones."""
import os
import resource
import signal
import time
import unittest

from lab import runs
from lab.daemon import Daemon, free_port, merged, until

from .calls import Call
from .load import HEADERS, PACKET, SIDES, Load
from .place import Place

PORT_RANGE = (40000, 50000)
BECOMES_KERNEL = 5  # seconds within which flows are handed over, at most
SILENCE = 0.2  # seconds without a packet that tell that none comes: ten packets' time


def story(daemon):
    """What a failure needs to know of the log."""
    lines = daemon.log.read_text(errors="replace").splitlines()
    return "\n".join(["", *[line for line in lines if " DEBUG " not in line][-12:]])


def _many_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Forwarding:
    """What the tests for a back end share; with_each() makes unittest cases of it."""

    unittest_base = unittest.TestCase
    backend = None

    def setUp(self):
        super().setUp()
        self.folder = runs.folder(self.id().split(".", 1)[-1])
        self.place = None

    # Making things.

    def make_place(self, **options):
        self.place = Place(**options)
        self.addCleanup(self.place.close)
        return self.place.make()

    def settings(self, port_range=PORT_RANGE, forwarding=None, **relay):
        """A daemon in both roles; `relay` are settings of its own."""
        return {
            "role": "both",
            "dispatcher": {
                "socket_path": "dispatcher.sock",
                "listen": [],
                "accounting": ["sqlite"],
                "management": {"listen": f"127.0.0.1:{free_port('relay')}", "use_tls": False},
            },
            "relay": {
                "relay_ip": list(self.place.relay.values()),
                "port_range": "{}:{}".format(*port_range),
                "routable_private_ranges": self.place.ranges,
                "forwarding": forwarding or self.backend.forwarding,
                **relay,
            },
            "forwarding": self.backend.settings(self.place),
            "accounting": {"sqlite": {"path": "sessions.sqlite"}},
        }

    def start(self, name="daemon", *, changes=None, wrapper=(), owner=None, **options):
        """A daemon that serves; `wrapper` runs its program, `owner` is the uid that has its folder."""
        settings = merged(self.settings(**options), changes or {})
        daemon = Daemon(name, self.folder, settings, place="relay")
        self.addCleanup(daemon.kill)
        if owner is not None:
            os.chown(daemon.folder, owner, owner)
        return daemon.start(prepare=_many_descriptors, wrapper=wrapper)

    def proxy(self, daemon):
        connection = daemon.connect()
        self.addCleanup(connection.close)
        return connection

    def calls(self, proxy, count, family=4, first=0, **options):
        made = [
            Call(self.place, number, family, **options) for number in range(first, first + count)
        ]
        for call in made:
            call.establish(proxy)
        return made

    def phones(self, calls, rate=50, rtcp=False):
        load = Load(self.folder, rate)
        self.addCleanup(load.close)
        load.add([call.plan() for call in calls])
        if rtcp:
            load.add([call.plan(rtcp=True) for call in calls])
        return load

    # Waiting for, and judging, what happens.

    def start_with_backlog(self, daemon, load, count):
        """They talk while the daemon sleeps: ten packets of each phone wait in its sockets then.

        So some are still to be relayed by it when the flow is handed over.
        """
        daemon.signal(signal.SIGSTOP)
        load.start()
        load.until_sent(20 * count, 5)
        daemon.resume()

    def until_forwarded(self, daemon, count, patience=BECOMES_KERNEL):
        """Waits until the back end forwards so many flows, and the daemon itself none.

        A kernel back end proves it: the relay's sockets are given nothing any more.
        """
        path = self.backend.forwarding

        def handed_over():
            counts = self.flow_counts(daemon)
            return counts.get(path) == count and counts.get("slow") == 0

        def failure():
            return f"flows: {self.flow_counts(daemon)}, not {count} of {path}: {story(daemon)}"

        until(handed_over, patience, failure)
        if self.backend.kernel:
            self.until_silent(daemon)

    def until_silent(self, daemon, patience=BECOMES_KERNEL):
        """Waits until the relay's sockets are given nothing for many packets' time."""
        begin = since = time.monotonic()
        last = self.place.delivered()
        while (now := time.monotonic()) - since < SILENCE:
            if (seen := self.place.delivered()) != last:
                last, since = seen, now
            if now - begin > patience:
                raise AssertionError(
                    f"packets still come to the sockets, {seen} until now: {story(daemon)}"
                )
            time.sleep(0.02)

    @staticmethod
    def flow_counts(daemon):
        """Learned flows by what forwards them, as `summary` says: {"nftables": 3, "slow": 0}."""
        return daemon.relays()[0]["flow_count"]

    def assert_media_whole(self, load, reordering=True):
        """Nothing lost, nothing twice, nothing from elsewhere, every checksum right."""
        report = load.report()
        self.assertGreater(report.total("sent"), 0)
        self.assertEqual(report.complaints(reordering), [])
        return report

    def heal(self, load, allowed):
        """Media is whole again within so many seconds: then nothing more is lost."""
        begin, last = time.monotonic(), None
        while True:
            report = load.report()
            behind = report.total("sent") - report.total("received")
            if last is not None and behind <= last and time.monotonic() - begin > 0.5:
                return  # what is not here is either lost for good or under way
            if time.monotonic() - begin > allowed + 1:
                raise AssertionError(f"{behind} packets lost and ever more: {report.complaints()}")
            last = behind
            time.sleep(0.25)

    def assert_no_more_lost_than(self, load, seconds, count, rate=50):
        """At most so many seconds of `count` calls' media; and nothing else is wrong."""
        report = load.report()
        self.assertLessEqual(report.total("lost"), seconds * rate * 2 * count)
        others = [
            c for c in report.complaints(reordering=False) if seconds == 0 or " lost in " not in c
        ]
        self.assertEqual(others, [])

    def assert_counted(self, daemon, calls, report):
        """Sessions say, and then records do, how many packets and bytes each phone sent."""
        said = {session["call_id"]: session["streams"][-1] for session in daemon.sessions()}
        self.compare_counts(said, calls, report, "session")

    def assert_recorded(self, daemon, proxy, calls, report):
        """The calls end; their records say so too."""
        for call in calls:
            call.remove(proxy)
        until(
            lambda: len(daemon.rows()) >= len(calls),
            10,
            lambda: f"{len(daemon.rows())} records of {len(calls)} calls",
        )
        rows = daemon.rows()
        said = {row[0]: row[3]["streams"][-1] for row in rows}
        self.assertEqual(len(rows), len(said))
        self.compare_counts(said, calls, report, "record")

    def compare_counts(self, said, calls, report, what):
        wrong = []
        for call in calls:
            if call.call_id not in said:
                wrong.append(f"{call.call_id}: no {what}")
                continue
            numbers = [n for n in (2 * call.number, 2 * call.number + 1) if n in report.streams]
            for side in SIDES:
                packets = sum(report.streams[number][side]["sent"] for number in numbers)
                wanted = packets, packets * (PACKET + HEADERS[call.family])
                stream = said[call.call_id]
                counted = stream[f"{side}_packets"], stream[f"{side}_bytes"]
                if counted != wanted:
                    wrong.append(f"{call.call_id}: {side} {counted}, sent {wanted}")
        self.assertEqual(wrong[:5], [], f"{len(wrong)} counts of {what}s are wrong")
