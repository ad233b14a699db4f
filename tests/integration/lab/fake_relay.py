# SPDX-License-Identifier: GPL-2.0-or-later
"""A scripted relay as MediaProxy 4.x has it: it connects over TLS and answers as the test likes."""
import contextlib
import socket
import ssl
import threading


def tls_client(certs, name="relay"):
    """A client context that shows NAME.crt, or no certificate when the name is None."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if name:
        context.load_cert_chain(certs / f"{name}.crt", certs / f"{name}.key")
    return context


def connect(endpoint, certs, name="relay"):
    """A TLS connection to HOST:PORT."""
    host, _, port = endpoint.rpartition(":")
    plain = socket.create_connection((host, int(port)), 5)
    try:
        return tls_client(certs, name).wrap_socket(plain)
    except BaseException:
        plain.close()
        raise


def refused(endpoint, certs, name):
    """Whether the listener ends this certificate's connection (TLS 1.3: after the handshake)."""
    try:
        with connect(endpoint, certs, name) as link:
            link.settimeout(3)
            # A relay that is let in is asked for its sessions.
            return link.recv(1) == b""
    except TimeoutError:
        return False
    except (ssl.SSLError, ConnectionError):
        return True


class _SharedLink:
    """A TLS connection that one thread reads and others write, one at a time."""

    def __init__(self, endpoint, certs):
        host, _, port = endpoint.rpartition(":")
        self._plain = socket.create_connection((host, int(port)), 5)
        self._plain.settimeout(None)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls_client(certs).wrap_bio(self._in, self._out)
        self._lock = threading.Lock()
        while True:
            try:
                self._tls.do_handshake()
                self._flush()
                return
            except ssl.SSLWantReadError:
                self._flush()
                self._in.write(self._plain.recv(65536) or self._end())

    def send(self, data):
        with self._lock:
            self._tls.write(data)
            self._flush()

    def receive(self):
        """The next bytes; nothing at the end."""
        while True:
            with self._lock:
                try:
                    return self._tls.read(65536)
                except ssl.SSLWantReadError:
                    pass
                except ssl.SSLError:
                    return b""
            try:
                news = self._plain.recv(65536)
            except OSError:
                news = b""
            if not news:
                return b""
            with self._lock:
                self._in.write(news)

    def close(self):
        with contextlib.suppress(OSError, ssl.SSLError):
            with self._lock:
                with contextlib.suppress(ssl.SSLWantReadError):
                    self._tls.unwrap()
                self._flush()
        with contextlib.suppress(OSError):
            self._plain.shutdown(socket.SHUT_RDWR)

    def _flush(self):
        if data := self._out.read():
            self._plain.sendall(data)

    def _end(self):
        raise ConnectionError("the other side ended the connection within the handshake")


class FakeRelay:
    """`on_update(seq, headers)` gives the lines to send for an update, or None for silence."""

    def __init__(self, endpoint, certs, on_update):
        self.on_update = on_update
        self.requests = []  # (command, seq, headers)
        self.pongs = 0
        self.asked_for_sessions = threading.Event()
        self.closed = threading.Event()
        self._link = _SharedLink(endpoint, certs)
        threading.Thread(target=self._serve, daemon=True).start()

    def send(self, data):
        self._link.send(data)

    def say(self, line):
        self.send(line.encode() + b"\r\n")

    def close(self):
        self._link.close()
        self.closed.wait(5)

    def removed(self, call_id):
        return any(c == "remove" and h.get("call_id") == call_id for c, _, h in self.requests)

    def _serve(self):
        unread = b""
        while news := self._link.receive():
            unread += news
            while unread.startswith(b"pong\r\n"):
                self.pongs, unread = self.pongs + 1, unread[6:]
            while b"\r\n\r\n" in unread:
                request, unread = unread.split(b"\r\n\r\n", 1)
                self._answer(request.decode())
        self.closed.set()

    def _answer(self, request):
        first, *lines = request.split("\r\n")
        command, _, seq = first.partition(" ")
        headers = dict(line.split(": ", 1) for line in lines)
        self.requests.append((command, seq, headers))
        answers = ["%s error" % seq]
        if command == "sessions":
            answers = [f"{seq} []"]
            self.asked_for_sessions.set()
        elif command == "summary":
            answers = [
                f'{seq} {{"version": "4.0.1", "status": "active", "uptime": 1, "session_count": 0, '
                '"stream_count": {}, "bps_relayed": 0}'
            ]
        elif command == "remove":
            answers = [f'{seq} {{"call_id": "{headers.get("call_id")}", "streams": [']
        elif command == "update":
            answers = self.on_update(seq, headers)
        for answer in answers or []:
            try:
                self.say(answer)
            except OSError:
                return
