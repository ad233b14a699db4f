# SPDX-License-Identifier: GPL-2.0-or-later
"""Two relays in a row, each the other's SDP address: alice - first - second - bob, on loopback."""
import asyncio
import pathlib
import sys
import unittest

from lab import runs
from lab.cluster import both_settings, ports_of
from lab.daemon import Daemon

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "phones"))
import phone as phones  # noqa: E402

IP = "127.0.0.1"


def audio(port):
    return f"audio:{IP}:{port}:sendrecv:ice=no"


class Chained(unittest.TestCase):
    def setUp(self):
        folder = runs.folder(self._testMethodName)
        self.first, self.second = (
            Daemon(name, folder, both_settings(ports)).start()
            for name, ports in (("first", "43000:43400"), ("second", "44000:44400"))
        )
        self.addCleanup(self.second.stop)
        self.addCleanup(self.first.stop)
        self.one, self.two = self.first.connect(), self.second.connect()
        self.addCleanup(self.one.close)
        self.addCleanup(self.two.close)

    def signal_call(self, call_id, alice, bob):
        """INVITE and 200 pass both proxies; gives the ports that alice and bob are told."""
        offered = ports_of(self.one.update(call_id, audio(alice)))[0]
        bobs = ports_of(self.two.update(call_id, audio(offered)))[0]
        reply = {"kind": "reply", "to_tag": "B"}
        answered = ports_of(self.two.update(call_id, audio(bob), **reply))[0]
        return ports_of(self.one.update(call_id, audio(answered), **reply))[0], bobs

    async def call(self, call_id, first_to_talk):
        """Both talk, one of them 0.3 s before the other; gives what was wrong."""
        alice = phones.Phone("alice", phones.open_pair(IP))
        bob = phones.Phone("bob", phones.open_pair(IP))
        try:
            told = dict(zip(("alice", "bob"), self.signal_call(call_id, alice.port, bob.port)))
            talkers = [alice, bob]
            for talker in talkers:
                talker.call(IP, told[talker.identity])
            talkers.sort(key=lambda phone: phone.identity != first_to_talk)
            talkers[0].talk()
            await asyncio.sleep(0.3)
            talkers[1].talk()
            await asyncio.sleep(1.2)
            alice.hush()
            bob.hush()
            await asyncio.sleep(0.1)
            return self.judge(alice, bob, told)
        finally:
            alice.close()
            bob.close()

    def judge(self, alice, bob, told):
        found = []
        for number, (ones, others) in enumerate(zip(alice.flows, bob.flows)):
            since = phones.both_heard(ones, others)
            if since is None:
                found.append(
                    f"{ones.kind}: {len(ones.heard)} heard by alice, {len(others.heard)} by bob"
                )
                continue
            for sender, receiver in ((ones, others), (others, ones)):
                relay = {(IP, told[receiver.identity] + number)}
                found += phones.complaints(sender, receiver, since, relay)
        return found

    def passes(self, first_to_talk):
        self.assertEqual(asyncio.run(self.call("chained", first_to_talk)), [])
        for daemon, connection in ((self.first, self.one), (self.second, self.two)):
            session = daemon.sessions()[0]["streams"][0]
            for counter in ("caller_packets", "callee_packets"):
                self.assertGreater(session[counter], 50, f"{counter} of {daemon.name}")
            self.assertEqual(connection.remove("chained"), "removed")

    def test_rtp_and_rtcp_pass_when_alice_talks_first(self):
        self.passes("alice")

    def test_rtp_and_rtcp_pass_when_bob_talks_first(self):
        self.passes("bob")
