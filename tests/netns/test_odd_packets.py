# SPDX-License-Identifier: GPL-2.0-or-later
"""Datagrams that no phone should send, into a forwarded flow: they arrive, and from the right source."""
import socket

from lab import netns
from lab.daemon import until
from wire.backends import ALL, with_each
from wire.calls import Call
from wire.case import Forwarding

SO_NO_CHECK = 11
NO_OPERATION = bytes([1] * 8)  # of IP options
RTP = bytes([0x80, 0]) + bytes(range(170))
FORMS = {
    "one byte": b"\x80",
    "in fragments": bytes([0x80, 0]) + bytes(range(250)) * 12,
    "of 9000 bytes": bytes([0x80, 0]) + bytes(range(250)) * 35 + bytes(248),
    "of 65000 bytes": bytes([0x80, 0]) + bytes(range(250)) * 259 + bytes(248),
}


@with_each(ALL)
class OddPackets(Forwarding):
    """One call between two sockets, forwarded by the back end."""

    def call(self, family, mtu=1500):
        self.make_place()
        self.place.set_mtu(mtu)
        self.daemon = self.start()
        self.connection = self.proxy(self.daemon)
        self.established = Call(self.place, 0, family)
        self.established.establish(self.connection)
        self.alice, self.bob = (
            self.bound(name, end)
            for name, end in (
                ("alice", self.established.caller),
                ("bob", self.established.callee),
            )
        )
        self.to_bob = self.established.relay_address, self.established.to_callee
        self.to_alice = self.established.relay_address, self.established.to_caller
        self.counts = {"caller": 0, "callee": 0}

        def talked():
            self.say(RTP)
            return self.flow_counts(self.daemon).get(self.backend.forwarding) == 1

        until(talked, 5, "the flow is not forwarded")
        if self.backend.kernel:
            self.until_silent(self.daemon)

    def bound(self, name, end):
        family = socket.AF_INET6 if ":" in end[0] else socket.AF_INET
        with netns.inside(name):
            sock = socket.socket(family, socket.SOCK_DGRAM)
        self.addCleanup(sock.close)
        sock.bind(end)
        sock.settimeout(3)
        return sock

    def say(self, data, *, to_callee=True, to_caller=True):
        """Both sides say so, and hear it whole, from the port that they speak to."""
        for wanted, speaker, to, hearer, source, side in (
            (to_callee, self.alice, self.to_bob, self.bob, self.to_alice, "caller"),
            (to_caller, self.bob, self.to_alice, self.alice, self.to_bob, "callee"),
        ):
            if not wanted:
                continue
            speaker.sendto(data, to)
            try:
                heard, where = hearer.recvfrom(65536)
            except socket.timeout:
                raise AssertionError(f"{len(data)} bytes of the {side} did not arrive") from None
            self.assertEqual((len(heard), where[:2]), (len(data), source), f"of the {side}")
            self.assertEqual(heard, data)
            self.counts[side] += 1

    def afterwards(self):
        """The call goes on, no checksum was bad, and every packet was counted."""
        self.say(RTP)
        for name in ("alice", "bob"):
            self.assertEqual(netns.count(name, "Udp.InCsumErrors", "Udp6.InCsumErrors"), 0)
        self.assertEqual(self.flow_counts(self.daemon)[self.backend.forwarding], 1)
        stream = self.daemon.sessions()[0]["streams"][0]
        counted = {side: stream[f"{side}_packets"] for side in self.counts}
        self.daemon.stop()
        return counted

    def of_odd_sizes(self, family, **place):
        self.call(family, **place)
        if self.backend.loses_first_large:
            self.lose(FORMS["in fragments"])
        for form, data in FORMS.items():
            with self.subTest(form):
                self.say(data)
        sent = dict(self.counts)
        counted = self.afterwards()
        for side in sent:  # a kernel back end may count fragments, of which there are more
            self.assertGreaterEqual(counted[side], sent[side])

    def lose(self, data):
        """Both sides say so, and what they say next arrives, whether this did or not."""
        for speaker, to, hearer in (
            (self.alice, self.to_bob, self.bob),
            (self.bob, self.to_alice, self.alice),
        ):
            speaker.sendto(data, to)
            speaker.sendto(RTP, to)
            heard = hearer.recvfrom(65536)[0]
            if heard == data:
                heard = hearer.recvfrom(65536)[0]
            self.assertEqual(heard, RTP)

    def test_odd_sizes_ipv4(self):
        self.of_odd_sizes(4)

    def test_odd_sizes_ipv6(self):
        self.of_odd_sizes(6)

    def test_odd_sizes_where_9000_bytes_are_one_packet_ipv4(self):
        self.of_odd_sizes(4, mtu=9100)

    def test_odd_sizes_where_9000_bytes_are_one_packet_ipv6(self):
        self.of_odd_sizes(6, mtu=9100)

    def empty_datagram(self, family):
        """Says nothing that could be relayed; it may be, or not, but harms nothing."""
        self.call(family)
        self.alice.sendto(b"", self.to_bob)
        self.alice.sendto(RTP, self.to_bob)
        heard = [self.bob.recvfrom(2048)]
        if heard[0][0] == b"":
            heard.append(self.bob.recvfrom(2048))
        self.assertEqual([where[:2] for _, where in heard], [self.to_alice] * len(heard))
        self.assertEqual(heard[-1][0], RTP)
        self.afterwards()

    def test_an_empty_datagram_ipv4(self):
        self.empty_datagram(4)

    def test_an_empty_datagram_ipv6(self):
        self.empty_datagram(6)

    def test_ip_options(self):
        """Their header is longer: what the rules find at a fixed place is elsewhere."""
        self.call(4)
        for sock in (self.alice, self.bob):
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, NO_OPERATION)
        self.say(RTP)
        self.say(RTP)
        for sock in (self.alice, self.bob):
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_OPTIONS, b"")
        sent = self.counts["caller"] + 1
        self.assertEqual(self.afterwards()["caller"], sent)

    def test_no_udp_checksum(self):
        """Zero means none (RFC 768) and must stay none."""
        self.call(4)
        for sock in (self.alice, self.bob):
            sock.setsockopt(socket.SOL_SOCKET, SO_NO_CHECK, 1)
        for _ in range(3):
            self.say(RTP)
        sent = self.counts["callee"] + 1
        self.assertEqual(self.afterwards()["callee"], sent)

    def last_hop(self, family):
        """A packet that may go no further than to the relay: that is where it is addressed."""
        self.call(family)
        level, option = (
            (socket.IPPROTO_IP, socket.IP_TTL)
            if family == 4
            else (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS)
        )
        usual = self.alice.getsockopt(level, option)
        self.alice.setsockopt(level, option, 1)
        self.alice.sendto(b"\x80last", self.to_bob)
        self.alice.setsockopt(level, option, usual)
        self.assertEqual(self.bob.recvfrom(2048), (b"\x80last", self.heard_from(family)))
        self.afterwards()

    def heard_from(self, family):
        return self.to_alice if family == 4 else (*self.to_alice, 0, 0)

    def test_ttl_1(self):
        self.last_hop(4)

    def test_hop_limit_1(self):
        self.last_hop(6)
