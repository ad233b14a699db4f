# SPDX-License-Identifier: GPL-2.0-or-later
"""The phones themselves: that they would notice. The relay routes here, and harms on purpose."""
import unittest

from lab import runs
from wire.load import Load
from wire.place import Place, run_in

STREAMS = 20
PACKETS = 2000  # sent at least, both ways


class Phones(unittest.TestCase):
    """They talk to each other directly; what they take for the relay's port is the other phone's."""

    def setUp(self):
        self.place = Place().make()
        self.addCleanup(self.place.close)
        self.place.set("net.ipv4.ip_forward", 1)
        self.place.set("net.ipv6.conf.all.forwarding", 1)

    def talk(self, harm="", family=4):
        """The report, when the relay does `harm` (IPv4 only) to five in a hundred packets to bob."""
        if harm:
            table = f"""table ip harm {{ chain c {{
                type filter hook prerouting priority 0;
                ip daddr 10.92.2.2 numgen inc mod 100 < 5 counter {harm}
            }}
            }}"""
            run_in("relay", "nft", "-f", "-", given=table)
        load = Load(runs.folder(self._testMethodName))
        self.addCleanup(load.close)
        alice, bob = self.place.alice[family], self.place.bob[family]
        load.add(
            f"{n} rtp {alice} {10000 + 4 * n} {bob} {10000 + 4 * n}"
            f" {bob} {10000 + 4 * n} {alice} {10000 + 4 * n}"
            for n in range(STREAMS)
        )
        load.start()
        load.until_sent(PACKETS, 10)
        load.pause()
        return load.report()

    def expect(self, report, **expected):
        """So many complaints of each kind, of five in a hundred packets to bob."""
        share = report.total("sent") // 2 // 20
        for what in ("lost", "duplicated", "wrong_source", "corrupted", "foreign"):
            with self.subTest(what):
                wanted = share if expected.get(what) else 0
                self.assertAlmostEqual(report.total(what), wanted, delta=5 if wanted else 0)
        self.assertEqual(bool(report.complaints()), bool(expected))

    def test_nothing_is_wrong_where_nothing_is_done(self):
        for family in (4, 6):
            report = self.talk(family=family)
            self.expect(report)
            self.assertEqual(report.total("received"), report.total("sent"))
            self.assertGreater(report.answer["latency_us"]["p50"], 0)

    def test_a_lost_packet_is_noticed(self):
        self.expect(self.talk("drop"), lost=True)

    def test_a_packet_that_comes_twice_is_noticed(self):
        self.expect(self.talk("dup to 10.92.2.2"), duplicated=True)

    def test_another_source_port_is_noticed(self):
        report = self.talk("udp sport set 5555")
        self.expect(report, wrong_source=True)
        sources = {
            s for stream in report.streams.values() for s in stream["caller"]["wrong_sources"]
        }
        self.assertEqual(sources, {"10.92.1.2:5555"})

    def test_another_content_is_noticed(self):
        report = self.talk("@th,800,8 set 7 udp checksum set 0")
        self.expect(report, corrupted=True, lost=True)

    def test_a_bad_checksum_is_noticed(self):
        report = self.talk("udp checksum set 0x1234")
        self.expect(report, lost=True)
        bad = report.answer["dropped"]["callee"]["bad_checksum"]
        self.assertEqual(bad, report.total("lost"))
