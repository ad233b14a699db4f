# SPDX-License-Identifier: GPL-2.0-or-later
"""A thousand calls that begin to talk within a tenth of a second: carried, and expired in time."""
import time

from lab.daemon import until
from wire.backends import ALL, with_each
from wire.case import Forwarding, story

CALLS = 1000
RATE = 50  # packets a second of each phone: a hundred thousand in all
TIMEOUT = 4  # seconds of silence that a call survives


@with_each(ALL)
class Burst(Forwarding):
    alone = True

    def expire(self, family):
        """All fall silent at once; each call ends `idle_timeout` later, at most 2 s late."""
        self.make_place()
        daemon = self.start(idle_timeout=TIMEOUT, stream_timeout=60)
        proxy = self.proxy(daemon)
        calls = self.calls(proxy, CALLS, family)
        load = self.phones(calls, RATE)
        load.start()
        self.until_forwarded(daemon, CALLS)
        time.sleep(1)  # a second of media through the back end
        last_words = time.monotonic()
        load.pause()
        silent = time.monotonic()
        first, last = self.watch_them_end(daemon)
        report = self.assert_media_whole(load)
        # A phone's last packet: a packet's time before, and later by what the busy generator was.
        spoke = last_words - 2 / load.rate - report.answer["most_late_us"] / 1e6
        self.assertGreaterEqual(first, spoke + TIMEOUT)
        self.assertLessEqual(last, silent + TIMEOUT + 2)
        self.assert_expired(daemon, calls, report)
        self.assertEqual(sum(self.flow_counts(daemon).values()), 0)
        daemon.stop()

    def watch_them_end(self, daemon):
        """When the first call was seen to be gone, and when the last one was."""
        ends = []

        def all_gone():
            left = daemon.relays()[0]["session_count"]
            if left < CALLS and not ends:
                ends.append(time.monotonic())
            return left == 0

        until(
            all_gone,
            TIMEOUT + 5,
            lambda: f"{daemon.relays()[0]['session_count']} calls are left: {story(daemon)}",
        )
        return ends[0], time.monotonic()

    def assert_expired(self, daemon, calls, report):
        until(lambda: len(daemon.rows()) >= CALLS, 10, lambda: f"{len(daemon.rows())} records")
        rows = {row[0]: row[3] for row in daemon.rows()}
        ends = {(info["timed_out"], info["streams"][0]["status"]) for info in rows.values()}
        self.assertEqual(ends, {(True, "conntrack timeout")})
        self.assertEqual({info["streams"][0]["timeout_wait"] for info in rows.values()}, {TIMEOUT})
        said = {call_id: info["streams"][0] for call_id, info in rows.items()}
        self.compare_counts(said, calls, report, "record")

    def test_ipv4(self):
        self.expire(4)

    def test_ipv6(self):
        self.expire(6)
