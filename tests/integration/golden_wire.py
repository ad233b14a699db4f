# SPDX-License-Identifier: GPL-2.0-or-later
"""Sockets that speak lines, served by one thread: what a replay plays its peers with."""

import collections
import select
import socket
import ssl
import time


class Wire:
    """A connection (plain or TLS) whose received lines wait in `lines`, without their CRLF."""

    def __init__(self, sock, name):
        sock.setblocking(False)
        self.sock, self.name = sock, name
        self.lines = collections.deque()
        self.closed = False  # the peer closed it, or we did
        self._rest = b""

    def fileno(self):
        return self.sock.fileno()

    def feed(self):
        """Takes everything that has arrived."""
        while not self.closed:
            try:
                data = self.sock.recv(65536)
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                break
            except (ssl.SSLError, OSError):
                data = b""
            if not data:
                self._end()
                break
            *whole, self._rest = (self._rest + data).split(b"\n")
            self.lines.extend(line.removesuffix(b"\r") for line in whole)

    def write(self, data, limit=5.0):
        end = time.monotonic() + limit
        while data and not self.closed:
            try:
                data = data[self.sock.send(data) :]
            except (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError):
                if time.monotonic() > end:
                    raise TimeoutError(f"{self.name} takes nothing any more") from None
                select.select([], [self.sock], [], 0.1)
            except (ssl.SSLError, OSError):
                self._end()

    def end(self):
        """Nothing more is said; what the peer says until it closes is for nobody."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        if not self.closed:
            self._end()

    def _end(self):
        self.closed = True
        self.sock.close()


class Listener:
    """Accepts TLS peers on a loopback port of the kernel's choice; accepted ones wait in `accepted`."""

    def __init__(self, context, address="127.0.0.1"):
        self._context = context
        self._sock = socket.create_server((address, 0))
        self._sock.setblocking(False)
        self.port = self._sock.getsockname()[1]
        self.accepted = collections.deque()

    def fileno(self):
        return self._sock.fileno()

    def feed(self):
        try:
            sock, _ = self._sock.accept()
        except BlockingIOError:
            return
        sock.setblocking(True)
        sock.settimeout(5)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.accepted.append(self._context.wrap_socket(sock, server_side=True))
        except (ssl.SSLError, OSError):
            sock.close()

    def close(self):
        self._sock.close()


class Pump:
    """Waits until a condition holds while everything that it serves is read."""

    def __init__(self):
        self.served = []

    def add(self, wire):
        self.served.append(wire)
        return wire

    def wait(self, condition, limit):
        """True as soon as `condition()` holds, False when it does not within `limit` seconds."""
        end = time.monotonic() + limit
        while True:
            self.served = [one for one in self.served if not getattr(one, "closed", False)]
            if condition():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            ready, _, _ = select.select(self.served, [], [], min(left, 0.5))
            for one in ready:
                one.feed()

    def close(self):
        for one in self.served:
            one.close()


def client_context(certificates):
    """How a relay connects: its certificate shown, the dispatcher's verified against the CA."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(f"{certificates}/ca.pem")
    context.load_cert_chain(f"{certificates}/relay.crt", f"{certificates}/relay.key")
    return context


def server_context(certificates):
    """How a dispatcher listens."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(f"{certificates}/ca.pem")
    context.load_cert_chain(f"{certificates}/dispatcher.crt", f"{certificates}/dispatcher.key")
    return context


def connect_tls(context, port, source):
    """A TLS connection to a dispatcher on 127.0.0.1, from the address `source`."""
    sock = socket.create_connection(("127.0.0.1", port), timeout=5, source_address=(source, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(sock)
