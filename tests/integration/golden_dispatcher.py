# SPDX-License-Identifier: GPL-2.0-or-later
"""Replays a transcript against our dispatcher: plays its MediaProxy 4.x relays, its SIP proxy and its
management client, and notes each line of the dispatcher that differs from what 4.1 wrote."""

import collections
import re
import socket
import sqlite3
from dataclasses import dataclass

import golden_wire
from golden_compare import Finding, compare_values, parse_json

ANSWER_LIMIT = 8.0  # seconds for a line that should come; covers the dispatcher's relay timeout
SILENCE = 0.3  # seconds in which a line that should not come would come


@dataclass
class Request:
    command: str
    seq: str
    headers: list


class ScriptedRelay:
    """The relay's end of a link: sorts what the dispatcher writes into requests and pongs."""

    def __init__(self, wire):
        self.wire = wire
        self.requests = collections.deque()
        self.pongs = 0
        self.sequence = []  # numbers seen, in their order
        self._partial = []

    def sort(self):
        while self.wire.lines:
            line = self.wire.lines.popleft()
            if line == b"pong" and not self._partial:
                self.pongs += 1
                continue
            self._partial.append(line)
            if line:
                continue
            command, _, seq = self._partial[0].decode().partition(" ")
            self.requests.append(Request(command, seq, self._partial[1:-1]))
            self.sequence.append(int(seq))
            self._partial = []


class DispatcherReplay:
    """`peers`: relay_port, control_socket, management_port, database (a file or None)."""

    def __init__(self, steps, peers, certificates):
        self.steps, self.peers = steps, peers
        self.findings = []
        self._context = golden_wire.client_context(certificates)
        self._pump = golden_wire.Pump()
        self._relays = {}
        self._seqs = {}  # (relay, recorded seq) -> ours
        self._proxy = self._management = None
        self._seen = []  # rows of ours that have been compared

    def run(self):
        try:
            for index, step in enumerate(self.steps):
                getattr(self, "_" + step.kind)(step, index)
            self._end()
        finally:
            self._pump.close()
        return self.findings

    def _find(self, step, what, theirs, ours):
        self.findings.append(Finding(step.line, what, theirs, ours))

    # relays

    def _relay_connects(self, step, _index):
        sock = golden_wire.connect_tls(
            self._context, self.peers.relay_port, f"127.0.0.{step.relay}"
        )
        version = re.search(r"relay side (\S+)", step.note).group(1)
        if sock.version() != version:
            self._find(step, "TLS", version, sock.version())
        wire = self._pump.add(golden_wire.Wire(sock, f"relay {step.relay}"))
        self._relays[step.relay] = ScriptedRelay(wire)
        self._seqs = {key: seq for key, seq in self._seqs.items() if key[0] != step.relay}

    def _relay_asked(self, step, _index):
        relay = self._relays[step.relay]
        while True:
            self._wait(lambda: relay.requests or self._answered_already() or relay.wire.closed)
            if not relay.requests:
                self._find(step, "asked", self._brief(step.command, step.headers), "(not asked)")
                return
            request = relay.requests.popleft()
            if request.command == step.command:
                break
            self._refuse(step, relay, request)
        self._seqs[step.relay, step.seq] = request.seq
        if step.seq == "0" and request.seq != "0":
            self._find(step, "first sequence number", "0", request.seq)
        if request.headers != step.headers:
            self._compare_headers(step, request.headers)

    def _compare_headers(self, step, ours):
        for header in step.headers:
            if header not in ours:
                self._find(step, "header left out", _printable(header), "")
        for header in ours:
            if header not in step.headers:
                self._find(step, "header added", "", _printable(header))
        if sorted(ours) == sorted(step.headers):
            self._find(step, "order of headers", str(step.headers), str(ours))

    def _refuse(self, step, relay, request):
        """A request that 4.1 did not make, answered as a 4.x relay answers what it does not know."""
        self._find(step, "asked", "(nothing)", self._brief(request.command, request.headers))
        relay.wire.write(f"{request.seq} error\r\n".encode())

    @staticmethod
    def _brief(command, headers):
        call = next(
            (_printable(header) for header in headers if header.startswith(b"call_id: ")), ""
        )
        return f"{command} {call}".strip()

    def _answered_already(self):
        return bool(
            (self._proxy and self._proxy.lines) or (self._management and self._management.lines)
        )

    def _pong(self, step, _index):
        relay = self._relays[step.relay]
        if self._wait(lambda: relay.pongs or relay.wire.closed) and relay.pongs:
            relay.pongs -= 1
        else:
            self._find(step, "pong", "pong", "(nothing)")

    def _relay_says(self, step, _index):
        if step.dropped:
            return
        relay, data = self._relays[step.relay], step.data
        numbered = re.match(rb"(\d+) ", data)
        if numbered:
            seq = self._seqs.get((step.relay, numbered.group(1).decode()))
            if seq is None:
                return
            data = seq.encode() + data[numbered.end() - 1 :]
        relay.wire.write(data)

    def _relay_closes(self, step, _index):
        self._relays[step.relay].wire.close()
        self._wait(lambda: False, 0.1)  # until the dispatcher has seen it

    def _dispatcher_closes(self, step, index):
        relay = self._relays[step.relay]
        if not self._wait(lambda: relay.wire.closed):
            self._find(step, "link", "closed", "open")
            relay.wire.close()

    # the SIP proxy

    def _proxy_writes(self, step, _index):
        if self._proxy is None or self._proxy.closed:
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(self.peers.control_socket)
            self._proxy = self._pump.add(golden_wire.Wire(sock, "proxy"))
        self._proxy.write(step.data)

    def _proxy_reads(self, step, _index):
        self._read(step, self._proxy, "answer")

    def _read(self, step, wire, what):
        if step.note.startswith("(no reply"):
            self._wait(lambda: wire.lines or wire.closed, SILENCE)
            expected = "(no reply)"
        elif "closed" in step.note:
            self._wait_serving(step, lambda: wire.lines or wire.closed)
            expected = "(closed)"
        else:
            self._wait_serving(step, lambda: wire.lines or wire.closed)
            expected = step.text().removesuffix("\r\n")
        if wire.lines:
            ours = wire.lines.popleft().decode("utf-8", "replace")
        else:
            ours = "(closed)" if wire.closed else "(no reply)"
        self._compare_answer(step, what, expected, ours)

    def _compare_answer(self, step, what, theirs, ours):
        theirs_json, ours_json = parse_json(theirs), parse_json(ours)
        if theirs_json is not None and ours_json is not None:
            for path, one, other in compare_values(theirs_json, ours_json, masked=()):
                self._find(step, f"{what} {path}".strip(), one, other)
        elif theirs != ours and not (_is_version(theirs) and _is_version(ours)):
            self._find(step, what, theirs, ours)

    # management

    def _management_writes(self, step, _index):
        if self._management is None or self._management.closed:
            sock = socket.create_connection(("127.0.0.1", self.peers.management_port), timeout=5)
            self._management = self._pump.add(golden_wire.Wire(sock, "management"))
        self._management.write(step.data)

    def _management_reads(self, step, _index):
        self._read(step, self._management, "management")

    # what else the transcript holds

    def _note(self, step, _index):
        """What happened to the recorded relays shows in their lines."""

    def _dialog_end(self, step, _index):
        self._find(step, "end of dialog", step.text(), "(not sent)")

    def _dialog_answer(self, step, _index):
        """Only after an end of dialog."""

    def _row(self, step, _index):
        def written():
            return [
                row for row in self._rows() if row[:3] == step.row[:3] and row not in self._seen
            ]

        self._wait(written, 5)
        if not written():
            self._find(step, "row", str(step.row[:3]), "(none)")
            return
        row = written()[0]
        self._seen.append(row)
        for path, one, other in compare_values(
            parse_json(step.row[3]), parse_json(row[3]), masked=()
        ):
            self._find(step, f"row {path}", one, other)

    def _rows(self):
        try:
            with sqlite3.connect(f"file:{self.peers.database}?mode=ro", uri=True) as database:
                rows = database.execute(
                    "SELECT call_id, from_tag, to_tag, info " "FROM media_sessions ORDER BY id"
                ).fetchall()
        except sqlite3.Error:
            return []
        return [
            (*row[:3], row[3].decode() if isinstance(row[3], bytes) else row[3]) for row in rows
        ]

    def _end(self):
        """Nothing more may come."""
        last = self.steps[-1]
        self._wait(lambda: False, SILENCE)
        for wire in (self._proxy, self._management):
            for line in wire.lines if wire else ():
                self._find(last, f"extra line to {wire.name}", "(nothing)", _printable(line))
        for relay in self._relays.values():
            for request in relay.requests:
                self._find(
                    last, "asked", "(nothing)", self._brief(request.command, request.headers)
                )
            if relay.sequence != sorted(set(relay.sequence)):
                self._find(last, "sequence", "counts up", str(relay.sequence))
        for row in self._rows():
            if row not in self._seen:
                self._find(last, "row", "(none)", str(row[:3]))

    # waiting

    def _wait(self, condition, limit=ANSWER_LIMIT):
        def sorted_condition():
            for relay in self._relays.values():
                relay.sort()
            return condition()

        return self._pump.wait(sorted_condition, limit)

    def _wait_serving(self, step, condition):
        """Waits for an answer; requests that the script does not have meanwhile are refused."""
        while True:
            asked = [relay for relay in self._relays.values() if relay.requests]
            for relay in asked:
                self._refuse(step, relay, relay.requests.popleft())
            if not self._wait(lambda: condition() or self._asks()) or condition():
                return

    def _asks(self):
        return any(relay.requests for relay in self._relays.values())


def _printable(data):
    text = data.decode("utf-8", "replace")
    return text if len(text) < 200 else text[:60] + f"...({len(text)} characters)"


def _is_version(text):
    return re.fullmatch(r"\d+\.\d+\.\d+\S*", text) is not None
