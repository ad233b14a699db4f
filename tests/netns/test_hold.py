# SPDX-License-Identifier: GPL-2.0-or-later
"""A held call outlives what the kernel remembers of it."""
import time

from wire.backends import ALL, with_each
from wire.case import Forwarding

CALLS = 20
KERNEL_FORGETS = 5  # seconds: nf_conntrack_udp_timeout_stream, and without it


@with_each(ALL)
class Hold(Forwarding):
    def resume_after_the_kernel_forgot(self, family):
        self.make_place()
        for key in ("udp_timeout", "udp_timeout_stream"):
            self.place.set(f"net.netfilter.nf_conntrack_{key}", KERNEL_FORGETS)
        daemon = self.start(idle_timeout=60)
        proxy = self.proxy(daemon)
        calls = self.calls(proxy, CALLS, family)
        load = self.phones(calls)
        load.start()
        self.until_forwarded(daemon, CALLS)
        for call in calls:
            call.reinvite(proxy, directions=("sendonly", "recvonly"), moves=False)
        load.pause()
        before = self.assert_media_whole(load).total("sent")
        time.sleep(KERNEL_FORGETS + 3)  # as long as nobody says a word
        statuses = {session["streams"][0]["status"] for session in daemon.sessions()}
        self.assertEqual(statuses, {"on hold"})
        for call in calls:
            call.reinvite(proxy, moves=False)
        load.start()
        self.until_forwarded(daemon, CALLS)
        load.pause()
        report = self.assert_media_whole(load)
        self.assertGreater(report.total("sent"), before)
        self.assert_counted(daemon, calls, report)
        daemon.stop()

    def test_ipv4(self):
        self.resume_after_the_kernel_forgot(4)

    def test_ipv6(self):
        self.resume_after_the_kernel_forgot(6)
