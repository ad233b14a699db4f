# SPDX-License-Identifier: GPL-2.0-or-later
"""Each piece that protects media, taken away: the same test must then see the harm.

The back ends restore what others change; so what is taken away here is taken away every few
milliseconds, or before they look.
"""
import contextlib
import threading

from lab import netns
from wire.backends import CONNTRACK, NFTABLES, with_each
from wire.case import Forwarding
from wire.place import run_in

STREAMS = 100
ATTEMPTS = 10  # at a race that nearly always is lost at once
ONE_ZONE = """table inet one_zone {
    chain in { type filter hook prerouting priority raw - 20; udp dport 40000-50000 ct zone set 19792; }
    chain out { type filter hook output priority raw - 20; udp sport 40000-50000 ct zone set 19792; }
}"""


class Controls(Forwarding):
    @contextlib.contextmanager
    def held(self, keys, value):
        """These sysctls have this value, whoever sets them."""
        over = threading.Event()

        def write():
            with netns.inside("relay"):  # this thread alone
                while not over.wait(0.005):
                    for key in keys:
                        key.write_text(value, encoding="ascii")

        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def carried(self, family=4):
        """Phones whose media the back end forwards, whole so far; they are silent now."""
        daemon = self.start()
        load = self.phones(self.calls(self.proxy(daemon), STREAMS, family))
        load.start()
        self.until_forwarded(daemon, STREAMS)
        load.pause()
        self.assert_media_whole(load)
        return load

    def talk_a_while(self, load, packets=50):
        sent = load.report().total("sent")
        load.until_sent(sent + packets * STREAMS, 10)


@with_each((NFTABLES, CONNTRACK))
class Routing(Controls):
    def without_forwarding(self, family, key):
        self.make_place()
        load = self.carried(family)
        with self.held([self.place.sysctl(key)], "0"):
            load.start()
            self.talk_a_while(load)
            load.pause()
        self.assertGreater(load.report().total("lost"), 10 * STREAMS)

    def test_without_ip_forward_packets_vanish(self):
        self.without_forwarding(4, "net.ipv4.ip_forward")

    def test_without_ipv6_forwarding_packets_vanish(self):
        self.without_forwarding(6, "net.ipv6.conf.all.forwarding")


@with_each((NFTABLES,))
class LocalSource(Controls):
    def test_without_accept_local_packets_vanish(self):
        """A rewritten packet has a source address of the relay's own."""
        self.make_place()
        load = self.carried()
        names = ("all", "default", "lo", *self.place.devices)
        keys = [self.place.sysctl(f"net.ipv4.conf.{name}.accept_local") for name in names]
        with self.held(keys, "0"):
            load.start()
            self.talk_a_while(load)
            load.pause()
        self.assertGreater(load.report().total("lost"), 10 * STREAMS)


@with_each((CONNTRACK,))
class OwnZone(Controls):
    def test_without_a_zone_of_its_own_sources_are_wrong(self):
        """The relay's own packets and the entries then meet in one table."""
        self.make_place()
        run_in("relay", "nft", "-f", "-", given=ONE_ZONE)
        daemon = self.start()
        proxy = self.proxy(daemon)
        for number in range(ATTEMPTS):
            load = self.phones(self.calls(proxy, STREAMS, first=number * STREAMS))
            self.start_with_backlog(daemon, load, STREAMS)
            self.talk_a_while(load)
            load.pause()
            if load.report().total("wrong_source"):
                return
        self.fail(f"every source was right, in {ATTEMPTS} handovers of {STREAMS} streams")


@with_each((CONNTRACK,))
class Accounting(Controls):
    def test_without_nf_conntrack_acct_counts_are_wrong(self):
        self.make_place()
        daemon = self.start()
        key = self.place.sysctl("net.netfilter.nf_conntrack_acct")
        with self.held([key], "0"):
            calls = self.calls(self.proxy(daemon), STREAMS)
            load = self.phones(calls)
            load.start()
            self.talk_a_while(load)
        load.pause()
        report = self.assert_media_whole(load)
        with self.assertRaisesRegex(AssertionError, "counts of sessions are wrong"):
            self.assert_counted(daemon, calls, report)
