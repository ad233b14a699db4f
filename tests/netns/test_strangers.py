# SPDX-License-Identifier: GPL-2.0-or-later
"""Who may use a forwarded port: the flow's phones alone; and RTCP only where it is asked for."""
import contextlib

from lab import netns
from lab.daemon import until
from wire.backends import ALL, with_each
from wire.case import Forwarding
from wire.place import run

CALLS = 10
STRANGER = {4: "10.92.1.77", 6: "fd92:1::77"}
SHOTS = 20
RTP = bytes([0x80, 0]) + bytes(170)


@with_each(ALL)
class Strangers(Forwarding):
    def stranger_is_not_heard(self, family):
        """It shoots at both ports of each call while they talk, from another address and, at the
        phone's own address, from another port."""
        self.make_place()
        prefix = "/24" if family == 4 else "/64"
        extra = ("nodad",) if family == 6 else ()
        run("ip", "-n", "alice", "addr", "add", STRANGER[family] + prefix, "dev", "eth0", *extra)
        daemon = self.start()
        proxy = self.proxy(daemon)
        calls = self.calls(proxy, CALLS, family)
        load = self.phones(calls)
        load.start()
        self.until_forwarded(daemon, CALLS)
        delivered = self.place.delivered()
        for source in (STRANGER[family], self.place.alice[family]):
            with contextlib.closing(netns.udp_socket("alice", source)) as stranger:
                for call in calls:
                    for port in (call.to_callee, call.to_caller):
                        for _ in range(SHOTS):
                            stranger.sendto(RTP, (call.relay_address, port))
        if self.backend.kernel:  # they are not forwarded but judged by the daemon
            shots = 2 * 2 * CALLS * SHOTS
            until(
                lambda: self.place.delivered() - delivered >= shots,
                5,
                lambda: f"{self.place.delivered() - delivered} of {shots} came to the sockets",
            )
        load.pause()
        report = self.assert_media_whole(load)
        self.assert_counted(daemon, calls, report)
        self.assertEqual(self.flow_counts(daemon)[self.backend.forwarding], CALLS)
        daemon.stop()

    def test_a_stranger_is_not_heard_ipv4(self):
        self.stranger_is_not_heard(4)

    def test_a_stranger_is_not_heard_ipv6(self):
        self.stranger_is_not_heard(6)


@with_each(ALL)
class Secrecy(Forwarding):
    """Behind one device of the relay, a router would tell each phone where the other one is."""

    def nobody_is_redirected(self, family):
        self.make_place(one_armed=True)
        daemon = self.start()
        load = self.phones(self.calls(self.proxy(daemon), CALLS, family))
        load.start()
        self.until_forwarded(daemon, CALLS)
        sent = load.report().total("sent")
        load.until_sent(sent + 100 * CALLS, 10)
        load.pause()
        self.assert_media_whole(load)
        for name in ("alice", "bob"):
            redirects = netns.count(name, "Icmp.InRedirects", "Icmp6.InRedirects")
            self.assertEqual(redirects, 0, f"{name} was told of the other phone's address")
        daemon.stop()

    def test_phones_are_not_redirected_to_each_other_ipv4(self):
        self.nobody_is_redirected(4)

    def test_phones_are_not_redirected_to_each_other_ipv6(self):
        self.nobody_is_redirected(6)


@with_each(ALL)
class Rtcp(Forwarding):
    def talk(self, family, accelerate):
        self.make_place()
        daemon = self.start(accelerate_rtcp=accelerate)
        proxy = self.proxy(daemon)
        calls = self.calls(proxy, CALLS, family)
        load = self.phones(calls, rtcp=True)
        load.start()
        path = self.backend.forwarding
        wanted = {path: 2 * CALLS if accelerate else CALLS, "slow": 0}
        until(
            lambda: self.flow_counts(daemon) == wanted,
            5,
            lambda: f"flows: {self.flow_counts(daemon)}, not {wanted}",
        )
        return daemon, calls, load

    def finish(self, daemon, calls, load):
        load.pause()
        self.assert_counted(daemon, calls, self.assert_media_whole(load))
        daemon.stop()

    def stays_slow(self, family):
        """Every RTCP packet is given to a socket of the daemon; of RTP, none."""
        daemon, calls, load = self.talk(family, accelerate=False)
        load.pause()
        sent, delivered = self.rtcp_sent(load), self.place.delivered()
        load.start()
        until(lambda: self.rtcp_sent(load) - sent > 20 * CALLS, 5, "no RTCP is sent")
        load.pause()
        if self.backend.kernel:
            self.assertEqual(self.place.delivered() - delivered, self.rtcp_sent(load) - sent)
        self.finish(daemon, calls, load)

    @staticmethod
    def rtcp_sent(load):
        streams = load.report().streams
        return sum(
            s[side]["sent"] for n, s in streams.items() if n % 2 for side in ("caller", "callee")
        )

    def goes_too(self, family):
        daemon, calls, load = self.talk(family, accelerate=True)
        if self.backend.kernel:
            self.until_silent(daemon)
        self.finish(daemon, calls, load)

    def test_rtcp_stays_with_the_daemon_ipv4(self):
        self.stays_slow(4)

    def test_rtcp_stays_with_the_daemon_ipv6(self):
        self.stays_slow(6)

    def test_rtcp_goes_too_when_asked_for_ipv4(self):
        self.goes_too(4)

    def test_rtcp_goes_too_when_asked_for_ipv6(self):
        self.goes_too(6)
