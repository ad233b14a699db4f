# SPDX-License-Identifier: GPL-2.0-or-later
"""Streams are handed to the back end and taken back, while everybody talks."""
import time

from wire.backends import ALL, with_each
from wire.case import Forwarding

STREAMS, ROUNDS = 200, 5


@with_each(ALL)
class Handover(Forwarding):
    def five_times(self, family, **place):
        """The answerer's leg is learned anew each time, the caller's and the callee's in turn."""
        self.make_place(**place)
        daemon = self.start()
        proxy = self.proxy(daemon)
        calls = self.calls(proxy, STREAMS, family)
        load = self.phones(calls)
        load.start()
        self.until_forwarded(daemon, STREAMS)
        for number in range(ROUNDS):
            before = self.place.delivered()
            for call in calls:
                call.reinvite(proxy, offerer="A" if number % 2 == 0 else "B")
            self.until_forwarded(daemon, STREAMS)
            self.assertGreaterEqual(
                self.place.delivered() - before, STREAMS, "not every stream was taken back"
            )
        self.assert_carried_by_the_back_end(load)
        load.pause()
        report = self.assert_media_whole(load)
        self.assert_counted(daemon, calls, report)
        self.assert_recorded(daemon, proxy, calls, report)
        daemon.stop()

    def with_a_backlog(self, family):
        self.make_place()
        daemon = self.start()
        proxy = self.proxy(daemon)
        calls = self.calls(proxy, STREAMS, family)
        load = self.phones(calls)
        self.start_with_backlog(daemon, load, STREAMS)
        self.until_forwarded(daemon, STREAMS)
        load.pause()
        report = self.assert_media_whole(load, reordering=False)  # what waited is overtaken
        self.assert_counted(daemon, calls, report)
        daemon.stop()

    def test_packets_wait_in_the_sockets_ipv4(self):
        self.with_a_backlog(4)

    def test_packets_wait_in_the_sockets_ipv6(self):
        self.with_a_backlog(6)

    def assert_carried_by_the_back_end(self, load):
        """For half a second, the kernel forwards it all and the sockets hear nothing."""
        # Before `sent`: a report takes its time on a busy machine, and the phones go on meanwhile.
        routed, delivered = self.place.routed(), self.place.delivered()
        sent = load.report().total("sent")
        time.sleep(0.5)  # a measurement's length, nothing that is awaited
        sent = load.report().total("sent") - sent
        if not self.backend.kernel:
            self.assertEqual(self.place.routed(), routed)
            return
        self.assertEqual(self.place.delivered(), delivered)
        if self.backend.netdev:
            self.assertEqual(self.place.routed(), routed)
        else:
            self.assertGreater(self.place.routed() - routed, sent * 0.8)

    def test_ipv4(self):
        self.five_times(4)

    def test_ipv6(self):
        self.five_times(6)

    def test_ipv4_in_one_network(self):
        self.five_times(4, one_armed=True)

    def test_ipv6_in_one_network(self):
        self.five_times(6, one_armed=True)
