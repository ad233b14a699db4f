# SPDX-License-Identifier: GPL-2.0-or-later
"""The replays against peers that say exactly what the transcripts say: no difference may be found."""

import dataclasses
import socket
import tempfile
import unittest

import golden_playback
import golden_transcript
from golden_compare import Difference, Finding, Ports, compare_values, judge
from golden_dispatcher import DispatcherReplay
from golden_phones import Phones
from golden_relay import AddressPlan, RelayReplay, _with_ends

NUMBERED = ("01", "02", "03", "04", "05", "06", "07", "08", "11", "12", "15", "17")


class Playback(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        cls.certificates = golden_playback.make_certificates(cls._folder.name)

    @classmethod
    def tearDownClass(cls):
        cls._folder.cleanup()

    def test_a_dispatcher_that_says_what_41_said_differs_in_nothing(self):
        for name in NUMBERED:
            with self.subTest(name), tempfile.TemporaryDirectory() as folder:
                steps = golden_transcript.load(name)
                peer = golden_playback.PlaybackDispatcher(steps, self.certificates, folder)
                peer.start()
                findings = DispatcherReplay(steps, peer, self.certificates).run()
                peer.finish()
                ended = [one for one in findings if one.what != "end of dialog"]
                self.assertEqual([str(one) for one in ended], [])

    def test_a_changed_answer_of_the_dispatcher_is_found(self):
        steps = golden_transcript.load("01")
        played = [dataclasses.replace(step) for step in steps]
        answer = next(step for step in played if step.kind == "proxy_reads")
        answer.data = b"20.3.0.1 40004\r\n"
        with tempfile.TemporaryDirectory() as folder:
            peer = golden_playback.PlaybackDispatcher(played, self.certificates, folder)
            peer.start()
            findings = DispatcherReplay(steps, peer, self.certificates).run()
            peer.finish()
        self.assertEqual(
            [str(one) for one in findings],
            [f"line {answer.line}: answer: 4.1 said '20.3.0.1 40002', we say '20.3.0.1 40004'"],
        )

    def test_a_relay_that_says_what_41_said_differs_in_no_line(self):
        for name in NUMBERED:
            with self.subTest(name):
                steps, played = golden_transcript.load(name), []

                def start(number, port, plan):
                    mine = _of_process(_with_ends(steps), number, len(played))
                    played.append(
                        golden_playback.PlaybackRelay(mine, number, port, plan, self.certificates)
                    )
                    return played[-1]

                findings = RelayReplay(
                    steps, start, self.certificates, phones=golden_playback.MutePhones
                ).run()
                for peer in played:
                    peer.finish()
                lines = [one for one in findings if not _needs_media(one)]
                self.assertEqual([str(one) for one in lines], [])


def _of_process(steps, number, started):
    """Relay 2 of one transcript is killed and started again: the steps of its first or second life."""
    killed = next(
        (index for index, step in enumerate(steps) if step.note == f"kill -9 relay {number}"), None
    )
    if killed is None:
        return steps
    return steps[killed + 3 :] if started == number else steps[: killed + 2]


def _needs_media(finding):
    """The phones are mute: nothing was sent that the recorded counters could show."""
    return finding.what.endswith(("_packets", "_bytes"))


class Comparison(unittest.TestCase):
    def test_a_time_only_has_to_be_a_time(self):
        same = {"start_time": 1795364484.88, "duration": 4, "post_dial_delay": None}
        self.assertEqual(list(compare_values(same, dict(same, start_time=5.5, duration=0))), [])
        self.assertEqual(
            list(compare_values(same, dict(same, start_time=None))),
            [("start_time", "1795364484.88", "null")],
        )
        self.assertEqual(
            list(compare_values(same, dict(same, duration=0.5))),
            [("duration", "an integer", "0.5")],
        )

    def test_we_may_have_more_keys_but_not_fewer(self):
        self.assertEqual(list(compare_values({"a": 1}, {"a": 1, "b": 2})), [])
        self.assertEqual(list(compare_values({"a": 1}, {"b": 2})), [("a", "1", "(missing)")])

    def test_a_port_keeps_its_part_for_the_whole_call(self):
        ports = Ports()
        self.assertIsNone(ports.bind("c", 40000, 50000))
        self.assertIsNone(ports.bind("c", 40000, 50000))
        self.assertIsNone(ports.bind("other call", 40000, 50002))
        self.assertIsNotNone(ports.bind("c", 40000, 50004))
        self.assertIsNotNone(ports.bind("c", 40002, 50000))
        self.assertIsNotNone(ports.bind("c", 40004, 50005))
        self.assertIsNotNone(ports.bind("c", 40004, 0))
        self.assertEqual(ports.latest(40001), 50003)

    def test_only_a_listed_difference_is_accepted(self):
        finding = Finding(7, "answer", "error", "removed")
        row = Difference(("2", "`removed`"), file="01", lines=(7,), theirs="error", ours="removed")
        self.assertEqual(judge("01_basic", "dispatcher", [finding], [row]), [])
        self.assertEqual(row.applied, 1)
        elsewhere = Finding(8, "answer", "error", "removed")
        self.assertEqual(len(judge("01_basic", "dispatcher", [elsewhere], [row])), 1)


class ActedNotes(unittest.TestCase):
    def setUp(self):
        self.plan, self.ports = AddressPlan(), Ports()
        self.phones = Phones(self.plan, self.ports)
        self.addCleanup(self.phones.close)
        self.legs = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
        for leg, recorded in zip(self.legs, (40000, 40002)):
            self.addCleanup(leg.close)
            while leg.getsockname()[1] % 2 or not leg.getsockname()[1]:
                leg.close()
                leg.__init__(socket.AF_INET, socket.SOCK_DGRAM)
                leg.bind((self.plan.real("20.3.0.1"), 0))
            self.ports.bind("call", recorded, leg.getsockname()[1])

    def test_what_alice_sends_comes_to_bob_through_the_relay(self):
        bob = self.plan.real("20.2.0.2"), self.phones.real_port(6000)
        note = "alice sent 5 RTP packets of 172 bytes (pt 8) from port 5000 to 20.3.0.1:40000"
        self.assertTrue(self.phones.act(note))
        for _ in range(5):
            packet, source = self.legs[0].recvfrom(2048)
            self.assertEqual((len(packet), packet[:2]), (172, b"\x80\x08"))
            self.legs[1].sendto(packet, bob)
        alice = f"20.1.0.2:{source[1]}"
        self.assertEqual(self.phones.recorded(alice), "20.1.0.2:5000")
        theirs, ours = self.phones.received("bob received 5 RTP packets from ['20.3.0.1:40002']")
        self.assertEqual(theirs, ours)
        self.assertEqual(self.phones.sent(40000), [5, 1000])

    def test_a_packet_too_few_or_too_many_is_seen(self):
        bob = self.plan.real("20.2.0.2"), self.phones.real_port(6000)
        self.legs[1].sendto(b"x", bob)
        note = "bob received {} RTP packets from ['20.3.0.1:40002']"
        self.assertEqual(self.phones.received(note.format(0))[1], "1 from ['20.3.0.1:40002']")
        self.assertEqual(self.phones.received(note.format(1))[1], "0 from []")

    def test_packets_of_a_stranger_are_not_counted(self):
        note = "alice sent 3 RTP packets of 172 bytes (pt 0) from port 5050 to 20.3.0.1:40000"
        self.phones.act(note, counted=False)
        self.assertEqual(self.phones.sent(40000), [0, 0])


class Transcripts(unittest.TestCase):
    def test_printed_bytes_are_read_back(self):
        self.assertEqual(golden_transcript.decode(r"a\\b\t\xff\r\n"), b"a\\b\t\xff\r\n")
        self.assertEqual(golden_transcript.decode("ua: xxx...(10 bytes)"), b"ua: xxxxxx")

    def test_every_request_has_its_headers_and_each_answer_its_request(self):
        for name in NUMBERED:
            for step in golden_transcript.load(name):
                with self.subTest(name, line=step.line):
                    if step.kind == "relay_asked" and step.command == "update":
                        self.assertTrue(any(one.startswith(b"call_id: ") for one in step.headers))
                    if step.kind == "relay_says":
                        self.assertTrue(step.data.endswith(b"\r\n"))

    def test_a_long_header_has_its_full_length(self):
        steps = golden_transcript.load("02")
        request = next(step for step in steps if b"call_id: long2" in step.headers)
        self.assertEqual(max(map(len, request.headers)), len("user_agent: ") + 16315)

    def test_the_client_recordings_have_every_case(self):
        for name in ("kamailio-5.6.3-engage", "kamailio-5.6.3-use"):
            cases = golden_transcript.load_client(name)
            self.assertEqual(len(cases), 18)
            for exchange in (one for case in cases.values() for one in case):
                self.assertIn(exchange.command(), ("update", "remove"))
                self.assertTrue(exchange.answer.endswith(b"\r\n"))


if __name__ == "__main__":
    unittest.main()
