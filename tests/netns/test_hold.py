# SPDX-License-Identifier: GPL-2.0-or-later
"""A held call outlives what the kernel, or a NAT, remembers of it."""
import time

from lab.daemon import until
from wire.backends import ALL, NFTABLES, USERSPACE, with_each
from wire.case import Forwarding, story

CALLS = 20
KERNEL_FORGETS = 5  # seconds: nf_conntrack_udp_timeout_stream, and without it
NAT_FORGETS = 25  # seconds, after which the relay expects a phone at another port


class Talking(Forwarding):
    def talk(self, family, **relay):
        """A daemon, its proxy, and calls whose media the back end forwards."""
        daemon = self.start(**relay)
        proxy = self.proxy(daemon)
        calls = self.calls(proxy, CALLS, family)
        load = self.phones(calls)
        load.start()
        self.until_forwarded(daemon, CALLS)
        return daemon, proxy, calls, load


@with_each(ALL)
class Hold(Talking):
    def resume_after_the_kernel_forgot(self, family):
        self.make_place()
        for key in ("udp_timeout", "udp_timeout_stream"):
            self.place.set(f"net.netfilter.nf_conntrack_{key}", KERNEL_FORGETS)
        daemon, proxy, calls, load = self.talk(family, idle_timeout=60)
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


@with_each((NFTABLES, USERSPACE))
class LongHold(Talking):
    def test_callers_come_back_from_other_ports_of_their_nat(self):
        self.make_place()
        daemon, proxy, calls, load = self.talk(4, idle_timeout=60)
        for call in calls:
            call.reinvite(proxy, directions=("inactive", "inactive"), moves=False)
        load.pause()
        self.assert_media_whole(load)
        load.close()
        time.sleep(NAT_FORGETS + 2)  # nothing is awaited: as long as nobody says a word
        for call in calls:
            call.reinvite(proxy, moves=False)
            address, port = call.caller
            call.caller = (address, port + 20000)
        load = self.phones(calls)
        load.start("caller")
        load.until_sent(CALLS, 5)
        load.start()
        self.until_forwarded(daemon, CALLS)
        load.pause()
        self.assert_media_whole(load)
        daemon.stop()


@with_each((NFTABLES, USERSPACE))
class Silence(Talking):
    def test_without_idle_timeout_a_call_may_be_silent_as_long_as_the_kernel_remembers(self):
        self.make_place()
        self.place.set("net.netfilter.nf_conntrack_udp_timeout_stream", KERNEL_FORGETS)
        daemon, _, _, load = self.talk(4)
        load.pause()
        silent = time.monotonic()
        until(
            lambda: len(daemon.rows()) == CALLS,
            KERNEL_FORGETS + 5,
            lambda: f"{len(daemon.rows())} records: {story(daemon)}",
        )
        self.assertGreaterEqual(time.monotonic(), silent + KERNEL_FORGETS - 2 / load.rate)
        ends = {row[3]["streams"][0]["timeout_wait"] for row in daemon.rows()}
        self.assertEqual(ends, {KERNEL_FORGETS})
        daemon.stop()
