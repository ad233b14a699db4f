# SPDX-License-Identifier: GPL-2.0-or-later
"""RADIUS accounting servers as no real one is: silent, late, with a wrong secret, or garbage."""
import contextlib
import hashlib
import socket
import struct
import threading

from .daemon import until

SECRET = "testing123"


def answer(request, secret=SECRET):
    """The Accounting-Response to a request (RFC 2866 section 3)."""
    head = struct.pack("!BBH", 5, request[1], 20)
    return head + hashlib.md5(head + request[4:20] + secret.encode()).digest()


def attributes(request):
    """Its attributes as {type: value}."""
    found, rest = {}, request[20:]
    while rest:
        found[rest[0]], rest = rest[2 : rest[1]], rest[rest[1] :]
    return found


def call_id(request):
    return attributes(request)[44].decode()


class FakeRadius:
    """`judge(request)` gives the datagrams that answer it, at once; it may be changed meanwhile."""

    def __init__(self, judge):
        self.judge = judge
        self.requests = []
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self.port = self._sock.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            request, peer = self._sock.recvfrom(4096)
            if not request:
                return
            self.requests.append((request, peer))
            for datagram in self.judge(request):
                self.send(datagram, peer)

    def send(self, datagram, peer):
        """To somebody who may be gone."""
        with contextlib.suppress(OSError):
            self._sock.sendto(datagram, peer)

    def await_requests(self, count):
        until(
            lambda: len(self.requests) >= count,
            20,
            lambda: f"{len(self.requests)} requests of {count}",
        )

    def calls(self):
        """The Call-IDs of the requests, in order."""
        return [call_id(request) for request, _ in self.requests]

    def close(self):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"", ("127.0.0.1", self.port))
        self._thread.join(5)
        self._sock.close()
