# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls whose phones have gone silent: they expire, and the SIP proxy is told to end them."""
import contextlib
import socket
import time
import unittest

from lab import kamailio, record, runs
from lab.call import Call
from lab.cluster import both_settings
from lab.daemon import Daemon, merged, until
from lab.house import House
from lab.unhurt import ANSWER, OFFER

IDLE = 2  # seconds until a silent call expires


class Kamailio(unittest.TestCase):
    """Through Kamailio, with real phones: one call goes silent while another one goes on."""

    def setUp(self):
        folder = runs.folder(self._testMethodName)
        self.house = House(
            folder,
            "userspace",
            changes={
                "dispatcher": {
                    "proxy": {"socket_path": str(kamailio.management_socket(folder, "engage"))}
                },
                "relay": {"idle_timeout": IDLE},
            },
        ).build()
        self.addCleanup(self.house.close)

    def play(self, case):
        self.house.begin(case.__name__, lambda: self._in_a_call(case))

    async def _in_a_call(self, case):
        call = Call(self.house, case.__name__, "engage")
        with contextlib.closing(call):
            await case(call)

    @staticmethod
    async def _talk(call, audio, seconds):
        await call.play()
        invite, answered = await call.bob.got("INVITE", 1), await call.alice.got(200, 1)
        call.connect(invite, answered, audio)
        await call.talk(audio, seconds=seconds)

    async def goes_silent(self, call):
        audio = call.stream()
        call.alice.invite(call.offer("alice", audio)).expect(200).ack().reply_bye()
        call.bob.on("INVITE").reply(200, call.offer("bob", audio)).on("ACK").reply_bye()
        await self._talk(call, audio, seconds=0.5)
        await call.hush()
        await call.finish()  # both have got a BYE that neither has sent
        for side in (call.alice, call.bob):
            await side.got("BYE")
            self.assertFalse([m for m in side.sent if m.start.startswith("BYE ")])
        call.check_media()
        await record.check(call, ["conntrack timeout"], timed_out=True)

    async def goes_on(self, call):
        audio = call.stream()
        call.alice.invite(call.offer("alice", audio)).expect(200).ack().gate().bye()
        call.bob.on("INVITE").reply(200, call.offer("bob", audio)).on("ACK").reply_bye()
        await self._talk(call, audio, seconds=2 * IDLE)
        await call.hush()
        call.alice.open_gate()
        await call.finish()
        call.check_media()
        await record.check(call, ["closed"])

    def test_says_bye_to_both_sides_of_a_silent_call(self):
        self.play(self.goes_silent)
        self.play(self.goes_on)
        self.house.result("goes_silent")
        self.house.result("goes_on")
        daemon = self.house.daemon
        self.assertEqual(len(daemon.logged("its dialog is ended by the SIP proxy")), 1)
        self.assertEqual(len(daemon.rows()), 2)
        until(lambda: daemon.sessions() == [], 5, "a session is left")
        self.assertEqual(self.house.complaints(), [])  # its `remove` was answered, too


class Trouble(unittest.TestCase):
    """A proxy that cannot be told: records are written and other calls go on all the same."""

    CALLS = 20

    def setUp(self):
        self.folder = runs.folder(self._testMethodName)
        self.proxy_socket = self.folder / "proxy.sock"

    def expire(self):
        """Calls that expire by themselves, others meanwhile, none of them waits; the daemon."""
        calls = self.CALLS
        proxy = {"socket_path": str(self.proxy_socket), "timeout": 0.2, "retries": 1}
        settings = merged(both_settings(stream_timeout=1), {"dispatcher": {"proxy": proxy}})
        daemon = Daemon("daemon", self.folder, settings)
        self.addCleanup(daemon.kill)
        daemon.start()
        connection = daemon.connect()
        self.addCleanup(connection.close)
        for number in range(calls):
            self._call(connection, f"silent-{number}", dialog_id=f"9:{number}")
        others, deadline = 0, time.monotonic() + 15
        while len(self._timed_out(daemon)) < calls and time.monotonic() < deadline:
            self._call(connection, f"other-{others}")
            self.assertEqual(connection.remove(f"other-{others}"), "removed")
            others += 1
        until(
            lambda: len(daemon.rows()) == calls + others,
            10,
            lambda: f"{len(daemon.rows())} records of {calls} silent and {others} other calls",
        )
        silent = sorted(f"silent-{number}" for number in range(calls))
        self.assertEqual(sorted(self._timed_out(daemon)), silent)
        self.assertGreater(others, 0)
        return daemon

    @staticmethod
    def _timed_out(daemon):
        return [row[0] for row in daemon.rows() if row[3]["timed_out"]]

    def _call(self, connection, call_id, **more):
        self.assertNotEqual(connection.update(call_id, OFFER, **more), "error")
        answer = connection.update(call_id, ANSWER, kind="reply", to_tag="B", **more)
        self.assertNotEqual(answer, "error")

    def _check_one_warning(self, daemon, what):
        until(lambda: daemon.logged("expired calls stay open there"), 10, "nothing in the log")
        self.assertEqual(len(daemon.logged("WARNING", "SIP proxy at", what)), 1)
        self.assertEqual(len(daemon.logged("WARNING", "SIP proxy at")), 1)
        daemon.stop()  # at once, with questions that wait

    def test_no_socket_is_there(self):
        self._check_one_warning(self.expire(), "No such file or directory")

    def test_it_never_answers(self):
        with self._listening() as sock:
            daemon = self.expire()
            questions = self._questions(sock)
            self.assertGreater(len(questions), 0)
            self.assertTrue(all(b'"method": "dlg.end_dlg"' in text for text in questions))
            self._check_one_warning(daemon, "does not answer")

    def test_it_never_reads(self):
        """Until its buffer is full, and then on."""
        with self._listening(), contextlib.closing(
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ) as other:
            other.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    other.sendto(b"x", str(self.proxy_socket))
            self._check_one_warning(self.expire(), "temporarily unavailable")

    @contextlib.contextmanager
    def _listening(self):
        """The proxy's socket, of which the test is the reader."""
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock:
            sock.setblocking(False)
            sock.bind(str(self.proxy_socket))
            yield sock

    @staticmethod
    def _questions(sock):
        questions = []
        with contextlib.suppress(BlockingIOError):
            while True:
                questions.append(sock.recv(4096))
        return questions
