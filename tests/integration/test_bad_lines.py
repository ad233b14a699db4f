# SPDX-License-Identifier: GPL-2.0-or-later
"""Oversized, binary, half and endless lines on the control socket and the management interface."""
import contextlib
import os
import socket
import unittest

from lab import runs
from lab.cluster import both_settings, ports_of
from lab.daemon import Daemon, until
from lab.unhurt import OFFER, unhurt

ENDLESS = 64 * 1024 * 1024  # more than anybody may send without being stopped
BINARY = bytes(range(256)).replace(b"\r", b"").replace(b"\n", b"") * 8


def pour(sock, piece, limit=ENDLESS):
    """Sends until the other side ends the connection or answers; gives (bytes sent, its answer)."""
    sock.settimeout(5)
    sent = 0
    try:
        while sent < limit:
            sent += sock.send(piece)
            sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                return sent, sock.recv(4096)
            sock.settimeout(5)
    except ConnectionError:
        return sent, b""
    raise AssertionError(f"{sent} bytes of one line were taken")


class OneDaemon(unittest.TestCase):
    """Tests that share a daemon in both roles; each leaves it unhurt."""

    @classmethod
    def setUpClass(cls):
        cls.daemon = Daemon("daemon", runs.folder(cls.__name__), both_settings()).start()

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()

    def setUp(self):
        self._unhurt = contextlib.ExitStack()
        self.addCleanup(self._unhurt.close)
        self._unhurt.enter_context(unhurt(self.daemon))


class ControlSocket(OneDaemon):
    def errors(self, *requests):
        """Each of these, on one connection, is answered `error`; a good request still works."""
        connection = self.daemon.connect()
        try:
            for request in requests:
                self.assertEqual(connection.ask_raw(request), "error", request[:200])
            ports_of(connection.update("good", OFFER))
            self.assertEqual(connection.remove("good"), "removed")
        finally:
            connection.close()

    def request(self, **changes):
        headers = {
            "type": "request",
            "dialog_id": "",
            "call_id": "bad",
            "cseq": "1",
            "from_uri": "a@a",
            "to_uri": "b@b",
            "from_tag": "A",
            "to_tag": "",
            "user_agent": "U",
            "signaling_ip": "127.0.0.1",
            "media_relay": "",
            "media": OFFER,
            **changes,
        }
        lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
        return "\r\n".join(["update", *lines, "", ""]).encode()

    def test_unknown_commands(self):
        self.errors(b"refresh\r\n\r\n", b"UPDATE\r\n\r\n", b"updateupdate\r\ncall_id: x\r\n\r\n")

    def test_a_header_without_a_colon(self):
        self.errors(
            b"update\r\ntype request\r\n\r\n",
            b"remove\r\ncall_id\r\nfrom_tag: A\r\nto_tag: \r\n\r\n",
            self.request().replace(b"cseq: 1", b"cseq 1"),
        )

    def test_missing_headers(self):
        self.errors(
            b"update\r\n\r\n",
            b"remove\r\n\r\n",
            *(
                self.request(**{name: None})
                for name in ("call_id", "from_tag", "from_uri", "to_uri", "cseq", "type")
            ),
        )

    def test_numbers_out_of_range(self):
        self.errors(
            *(self.request(cseq=n) for n in ("-1", "abc", "1x", "99999999999999999999", "1.5")),
            *(
                self.request(media=f"audio:127.0.0.1:{port}:sendrecv:ice=no")
                for port in ("65536", "-1", "99999999999999999999", "port", "", "0x10")
            ),
        )

    def test_media_that_lies(self):
        self.errors(
            *(
                self.request(media=media)
                for media in (
                    "audio",
                    ":::",
                    "audio:127.0.0.1:30000",
                    "audio:300.0.0.1:30000:sendrecv:ice=no",
                    "audio:host.example:30000:sendrecv:ice=no",
                    ",",
                    OFFER + ",," + OFFER,
                    OFFER + ",audio:fd00::1:30000:sendrecv:ice=no",
                    "audio:fd00::1:30000:sendrecv:ice=no",
                )
            )
        )

    def test_33_streams_are_too_many_and_32_are_not(self):
        self.errors(self.request(media=",".join([OFFER] * 33)))
        connection = self.daemon.connect()
        try:
            streams = ",".join(
                f"audio:127.0.0.1:{30000 + 2 * n}:sendrecv:ice=no" for n in range(32)
            )
            self.assertEqual(len(ports_of(connection.update("many", streams))), 32)
            self.assertEqual(connection.remove("many"), "removed")
        finally:
            connection.close()

    def test_binary_lines(self):
        self.errors(BINARY + b"\r\n\r\n", b"update\r\n" + BINARY + b": " + BINARY + b"\r\n\r\n")

    def test_binary_values_harm_nobody(self):
        """Tags and URIs that are no UTF-8 are taken or refused, but always answered in one line."""
        connection = self.daemon.connect()
        try:
            data = self.request().replace(b"a@a", BINARY.replace(b"\0", b"")[:200])
            answer = connection.ask_raw(data)
            self.assertTrue(answer == "error" or ports_of(answer))
            self.daemon.manage("sessions")
            self.assertEqual(connection.remove("bad"), "removed")
        finally:
            connection.close()

    def test_an_oversized_line(self):
        connection = self.daemon.connect()
        try:
            answer = b""
            with contextlib.suppress(ConnectionError):
                connection.sock.sendall(b"update\r\ncall_id: " + b"x" * 300_000 + b"\r\n\r\n")
                answer = connection.sock.recv(4096)
            self.assertIn(answer, (b"error\r\n", b""))
        finally:
            connection.close()

    def test_an_endless_line(self):
        for piece in (b"x" * 65536, b"y: " + b"x" * 65000, os.urandom(65536).replace(b"\n", b"")):
            connection = self.daemon.connect()
            try:
                sent, answer = pour(connection.sock, piece)
                self.assertIn(answer, (b"error\r\n", b""))
            finally:
                connection.close()

    def test_endless_headers(self):
        connection = self.daemon.connect()
        try:
            connection.sock.sendall(b"update\r\n")
            sent, answer = pour(connection.sock, b"x-header: value\r\n" * 4000)
            self.assertIn(answer, (b"error\r\n", b""))
        finally:
            connection.close()

    def test_half_a_request(self):
        for half in (b"upd", b"update\r\n", self.request()[:-2], self.request()[:-40]):
            connection = self.daemon.connect()
            connection.sock.sendall(half)
            connection.close()

    def test_a_request_byte_by_byte(self):
        connection = self.daemon.connect()
        try:
            data = self.request(call_id="slow")
            for place in range(len(data) - 1):
                connection.sock.send(data[place : place + 1])
            ports_of(connection.ask_raw(data[-1:]))
            self.assertEqual(connection.remove("slow"), "removed")
        finally:
            connection.close()

    def test_answers_come_in_order_one_line_each(self):
        connection = self.daemon.connect()
        try:
            requests = [
                self.request(call_id="one"),
                b"nonsense\r\n\r\n",
                self.request(call_id="two"),
                self.request(cseq="x"),
            ]
            connection.sock.sendall(b"".join(requests))
            lines = b""
            while lines.count(b"\r\n") < len(requests):
                lines += connection.sock.recv(4096)
            answers = lines.decode().split("\r\n")[:-1]
            self.assertEqual([a == "error" for a in answers], [False, True, False, True])
            for call_id in ("one", "two"):
                self.assertEqual(connection.remove(call_id), "removed")
        finally:
            connection.close()

    def test_a_proxy_that_goes_before_the_answer(self):
        for number in range(20):
            connection = self.daemon.connect()
            connection.sock.sendall(self.request(call_id=f"gone-{number}"))
            connection.close()
        connection = self.daemon.connect()
        try:
            until(lambda: self.all_gone(connection), 5, "calls of closed connections stay")
        finally:
            connection.close()

    def all_gone(self, connection):
        gone = [s["call_id"] for s in self.daemon.sessions() if s["call_id"].startswith("gone-")]
        for call_id in gone:
            self.assertEqual(connection.remove(call_id), "removed")
        return not gone

    def test_a_proxy_that_does_not_read(self):
        connection = self.daemon.connect()
        try:
            connection.sock.settimeout(2)
            with contextlib.suppress(TimeoutError, ConnectionError):
                for _ in range(20000):
                    connection.sock.sendall(b"nonsense\r\n\r\n" * 50)
        finally:
            connection.close()


class Management(OneDaemon):
    def connect(self):
        host, _, port = self.daemon.settings["dispatcher"]["management"]["listen"].rpartition(":")
        sock = socket.create_connection((host, int(port)), 5)
        self.addCleanup(sock.close)
        return sock

    def ask(self, sock, data):
        sock.sendall(data)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            news = sock.recv(65536)
            if not news:
                return answer
            answer += news
        return answer

    def test_unknown_commands_and_binary_lines(self):
        sock = self.connect()
        for line in (b"nonsense", b"", b"version now", BINARY, b"sessions" * 20):
            if line:
                self.assertEqual(self.ask(sock, line + b"\r\n"), b"error\r\n\r\n", line[:80])
        self.assertNotIn(b"error", self.ask(sock, b"version\r\n"))

    def test_a_bare_line_feed_is_enough(self):
        self.assertNotIn(b"error", self.ask(self.connect(), b"version\n"))

    def test_oversized_and_endless_lines(self):
        for piece in (b"x" * 65536, os.urandom(65536).replace(b"\n", b"")):
            sent, answer = pour(self.connect(), piece)
            self.assertIn(answer, (b"error\r\n\r\n", b""))

    def test_half_a_line(self):
        for _ in range(10):
            sock = self.connect()
            sock.sendall(b"sess")
            sock.close()

    def test_many_commands_at_once(self):
        sock = self.connect()
        sock.sendall(b"sessions\r\nsummary\r\nversion\r\nquit\r\n")
        answer = b""
        while news := sock.recv(65536):
            answer += news
        self.assertEqual(answer.count(b"\r\n\r\n"), 3, answer)

    def test_one_who_does_not_read(self):
        sock = self.connect()
        sock.settimeout(2)
        with contextlib.suppress(TimeoutError, ConnectionError):
            for _ in range(2000):
                sock.sendall(b"summary\r\n" * 500)
