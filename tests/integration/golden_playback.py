# SPDX-License-Identifier: GPL-2.0-or-later
"""A dispatcher and a relay that say exactly what a transcript says: what the replays are tested with."""

import select
import signal
import socket
import sqlite3
import subprocess
import threading

import golden_wire
from golden_phones import Phones

LIMIT = 10.0


class _Playback(threading.Thread):
    def __init__(self, steps):
        super().__init__(daemon=True)
        self.steps, self.error = steps, None
        self.pump = golden_wire.Pump()

    def run(self):
        try:
            for step in self.steps:
                getattr(self, "_" + step.kind, self._ignored)(step)
        except Exception as error:  # told to the test that waits for this thread
            self.error = error
            self.pump.close()

    def finish(self):
        self.join(LIMIT)
        self.pump.close()
        if self.error:
            raise self.error

    def _ignored(self, _step):
        pass

    def await_that(self, step, condition):
        if not self.pump.wait(condition, LIMIT):
            raise TimeoutError(f"playback of line {step.line} waits in vain")


class PlaybackDispatcher(_Playback):
    """Plays D; has the attributes that `DispatcherReplay` wants of its peers."""

    def __init__(self, steps, certificates, folder):
        super().__init__(steps)
        self._listener = golden_wire.Listener(golden_wire.server_context(certificates))
        self.pump.add(self._listener)
        self.relay_port = self._listener.port
        self.control_socket = f"{folder}/dispatcher.sock"
        self._control = socket.socket(socket.AF_UNIX)
        self._control.bind(self.control_socket)
        self._control.listen()
        self._management = socket.create_server(("127.0.0.1", 0))
        self.management_port = self._management.getsockname()[1]
        self.database = f"{folder}/sessions.sqlite"
        with sqlite3.connect(self.database) as database:
            database.execute(
                "CREATE TABLE media_sessions "
                "(id INTEGER PRIMARY KEY, call_id, from_tag, to_tag, info)"
            )
        self._relays, self._clients = {}, {}

    def finish(self):
        super().finish()
        for sock in (self._control, self._management, *self._clients.values()):
            sock.close()

    def _relay_connects(self, step):
        self.await_that(step, lambda: self._listener.accepted)
        wire = golden_wire.Wire(self._listener.accepted.popleft(), f"relay {step.relay}")
        self._relays[step.relay] = self.pump.add(wire)

    def _relay_asked(self, step):
        lines = [f"{step.command} {step.seq}".encode(), *step.headers, b"", b""]
        self._relays[step.relay].write(b"\r\n".join(lines))

    def _pong(self, step):
        self._relays[step.relay].write(b"pong\r\n")

    def _relay_says(self, step):
        wire = self._relays[step.relay]
        if not step.dropped:
            self.await_that(step, lambda: wire.lines)
            assert wire.lines.popleft() == step.data.removesuffix(b"\r\n"), step

    def _relay_closes(self, step):
        self.await_that(step, lambda: self._relays[step.relay].closed)

    def _dispatcher_closes(self, step):
        self._relays[step.relay].close()

    def _client(self, name, server):
        """The connection that the replay has, or the one that it opens after a close."""
        client = self._clients.get(name)
        while client is None or not _await_bytes(client):
            client, _ = server.accept()
            self._clients[name] = client
        return client

    def _proxy_writes(self, step):
        _read_exactly(self._client("proxy", self._control), step.data)

    def _management_writes(self, step):
        _read_exactly(self._client("management", self._management), step.data)

    def _proxy_reads(self, step):
        self._say(self._clients["proxy"], step)

    def _management_reads(self, step):
        self._say(self._clients["management"], step)

    @staticmethod
    def _say(client, step):
        if "closed" in step.note:
            client.shutdown(socket.SHUT_RDWR)
        else:
            client.sendall(step.data)

    def _row(self, step):
        with sqlite3.connect(self.database) as database:
            database.execute(
                "INSERT INTO media_sessions (call_id, from_tag, to_tag, info) "
                "VALUES (?, ?, ?, ?)",
                step.row[:4],
            )


def _await_bytes(client):
    """False at the end of the connection."""
    select.select([client], [], [], LIMIT)
    try:
        return bool(client.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False


def _read_exactly(client, wanted):
    client.settimeout(LIMIT)
    data = b""
    while len(data) < len(wanted):
        data += client.recv(len(wanted) - len(data))
    assert data == wanted, (data, wanted)


class PlaybackRelay(_Playback):
    """Plays relay `number`, and the process that it runs in."""

    def __init__(self, steps, number, port, plan, certificates):
        super().__init__([step for step in steps if step.relay == number])
        self._port, self._plan = port, plan
        self._context = golden_wire.client_context(certificates)
        self._ended = threading.Event()
        self._wire = None
        self.returncode = None
        self.start()

    def poll(self):
        return self.returncode

    def send_signal(self, number):
        self.returncode = -number if number == signal.SIGKILL else 0
        self._ended.set()
        if number == signal.SIGKILL and self._wire:
            self._wire.close()

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def wait(self):
        self.join(LIMIT)

    def _relay_connects(self, _step):
        if self.returncode not in (None, 0):
            return
        sock = golden_wire.connect_tls(self._context, self._port, "127.0.0.1")
        self._wire = self.pump.add(golden_wire.Wire(sock, "dispatcher"))

    def _relay_asked(self, step):
        if step.dropped:
            return
        request = self._request(step)
        while request[0].startswith(b"summary 1000"):  # the replay's own, after SIGHUP
            self._wire.write(request[0].split()[1] + b' {"status": "halting"}\r\n')
            request = self._request(step)
        assert request[0] == f"{step.command} {step.seq}".encode(), request
        assert len(request) == len(step.headers) + 1, (request, step.headers)

    def _request(self, step):
        self.await_that(step, lambda: b"" in self._wire.lines)
        request = []
        while line := self._wire.lines.popleft():
            if line != b"pong":
                request.append(line)
        return request

    def _relay_says(self, step):
        real = self._plan.real(step.data.decode("utf-8", "replace")).encode()
        self._wire.write(real)

    def _relay_ends(self, step):
        if not self._ended.wait(LIMIT):
            raise TimeoutError(f"line {step.line}: nobody ended the relay")

    def _relay_closes(self, step):
        """In peace: a peer that answers gets TCP's reset else, and reads no more of what we said."""
        if self._wire.closed:
            return
        self._wire.end()
        self.await_that(step, lambda: self._wire.closed)

    def _dispatcher_closes(self, step):
        self.await_that(step, lambda: self._wire.closed)


class MutePhones(Phones):
    """For a played relay, which forwards nothing."""

    def act(self, note, counted=True):
        return False

    def received(self, note):
        return None


def make_certificates(folder):
    """A CA and two certificates as tls/make-certs makes them, for tests without a daemon."""
    subject = "/O=MediaProxy test/OU={0}/CN=MediaProxy {0}"
    _openssl(
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "2",
        "-subj",
        subject.format("ca"),
        "-keyout",
        f"{folder}/ca.key",
        "-out",
        f"{folder}/ca.pem",
    )
    for role in ("dispatcher", "relay"):
        _openssl(
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            subject.format(role),
            "-keyout",
            f"{folder}/{role}.key",
            "-out",
            f"{folder}/{role}.csr",
        )
        _openssl(
            "x509",
            "-req",
            "-in",
            f"{folder}/{role}.csr",
            "-CA",
            f"{folder}/ca.pem",
            "-CAkey",
            f"{folder}/ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-out",
            f"{folder}/{role}.crt",
        )
    return folder


def _openssl(*arguments):
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
