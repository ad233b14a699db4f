# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the recorded conversations in tests/data/golden.

A numbered file is a list of `seconds channel text`, recorded between a SIP proxy, a MediaProxy 4.1
dispatcher, its relays and a management client; `load` turns it into steps that a replay acts out.
A `kamailio-*` file holds what the real client wrote; `load_client` turns it into cases.
"""

import ast
import codecs
import os
import re
from dataclasses import dataclass, field

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "golden")
DROPPED = "(dropped by the test harness)"


@dataclass
class Step:
    """One thing that happened. `line` is its first line number in the file, from 1."""

    line: int
    time: float
    kind: str
    relay: int = 0
    data: bytes = b""  # what was written or answered, decoded
    command: str = ""  # of a request to a relay
    seq: str = ""
    headers: list = field(default_factory=list)  # [b"name: value"] of a request to a relay
    note: str = ""
    row: tuple = ()  # of the accounting table
    dropped: bool = False  # the recorder kept it from the peer

    def text(self):
        return self.data.decode("utf-8", "replace")


def path_of(name):
    """The full path of the one transcript whose file name begins with `name`."""
    found = [entry for entry in sorted(os.listdir(FOLDER)) if entry.startswith(name)]
    if len(found) != 1:
        raise ValueError(f"{name}: {len(found)} transcripts begin with that")
    return os.path.join(FOLDER, found[0])


def decode(text):
    """The bytes behind the printed form: \\r \\n \\t \\xNN \\\\ and the elided `xxx...(N bytes)`."""
    elided = re.match(r"(.*?)(.)\.\.\.\((\d+) bytes\)$", text, re.S)
    if elided:
        head, last, shown = elided.group(1), elided.group(2), int(elided.group(3))
        text = head + last * (shown - len(head))
    return codecs.escape_decode(text.encode())[0]


@dataclass
class _Line:
    number: int
    time: float
    channel: str
    text: str


def _lines(path):
    pattern = re.compile(r"\s*(\d+\.\d+) (\S+)\s*(.*)$", re.S)
    with open(path, encoding="utf-8", errors="surrogateescape", newline="\n") as file:
        for number, raw in enumerate(file, 1):
            found = pattern.match(raw.rstrip("\n"))
            if not found:
                continue
            yield _Line(number, float(found.group(1)), found.group(2), found.group(3))


class _Reader:
    """Groups the lines of one transcript into steps."""

    def __init__(self, lines):
        self.steps = []
        self._requests = {}  # relay -> the request that is not complete yet
        self._open = {}  # channel -> the step whose line has no end yet
        for line in lines:
            self._take(line)

    def _take(self, line):
        towards_relay = re.match(r"D>R(\d)$", line.channel)
        from_relay = re.match(r"R(\d)>D$", line.channel)
        if towards_relay:
            self._towards_relay(line, int(towards_relay.group(1)))
        elif from_relay:
            self._from_relay(line, int(from_relay.group(1)))
        elif line.channel == "S>D":
            self._proxy_writes(line)
        elif line.channel == "TLS":
            self._add(line, "relay_connects", relay=int(line.text.split(":")[0]), note=line.text)
        elif line.channel == "ACCT" and line.text.startswith("row: "):
            self._add(line, "row", row=ast.literal_eval(line.text[5:]))
        elif line.channel == "NOTE":
            self._add(line, "note", note=line.text)
        elif line.channel in ("D>S", "M>D", "D>M", "D>MI", "MI>D"):
            self._plain(line)

    def _add(self, line, kind, **more):
        step = Step(line.number, line.time, kind, **more)
        self.steps.append(step)
        return step

    def _plain(self, line):
        kind = {
            "D>S": "proxy_reads",
            "M>D": "management_writes",
            "D>M": "management_reads",
            "D>MI": "dialog_end",
            "MI>D": "dialog_answer",
        }[line.channel]
        if line.text.startswith("("):
            self._add(line, kind, note=line.text.strip())
        else:
            self._add(line, kind, data=decode(line.text))

    def _proxy_writes(self, line):
        last = self.steps[-1] if self.steps else None
        if last and last.kind == "proxy_writes":
            last.data += self._elided(line)
        else:
            self._add(line, "proxy_writes", data=self._elided(line))

    @staticmethod
    def _elided(line):
        """An elided header counts its printed \\r\\n, which the recorder left out."""
        found = re.search(r"\.\.\.\((\d+) bytes\)$", line.text)
        if not found:
            return decode(line.text)
        shown = line.text[: found.start()] + f"...({int(found.group(1)) - 4} bytes)"
        return decode(shown) + b"\r\n"

    def _towards_relay(self, line, relay):
        if line.text == DROPPED:
            self._mark_dropped(("relay_asked", "pong"), relay)
        elif line.text.startswith("(closed)"):
            self._add(line, "dispatcher_closes", relay=relay)
        elif line.text == "pong\\r\\n" and relay not in self._requests:
            self._add(line, "pong", relay=relay)
        else:
            self._request_line(line, relay)

    def _request_line(self, line, relay):
        request = self._requests.get(relay)
        if request is None:
            command, seq = line.text.removesuffix("\\r\\n").split(" ")
            request = self._add(line, "relay_asked", relay=relay, command=command, seq=seq)
            self._requests[relay] = request
            return
        request.data += decode(line.text)
        if line.text == "\\r\\n":
            request.headers = request.data.removesuffix(b"\r\n").split(b"\r\n")[:-1]
            request.data = b""
            del self._requests[relay]

    def _from_relay(self, line, relay):
        if line.text == DROPPED:
            self._mark_dropped(("relay_says",), relay)
            return
        if line.text.startswith("(closed)"):
            self._add(line, "relay_closes", relay=relay)
            return
        data = decode(line.text)
        unfinished = self._open.pop(line.channel, None)
        step = unfinished or self._add(line, "relay_says", relay=relay)
        step.data += data
        if not data.endswith(b"\r\n"):
            self._open[line.channel] = step

    def _mark_dropped(self, kinds, relay):
        for step in reversed(self.steps):
            if step.kind in kinds and step.relay == relay:
                step.dropped = True
                return


def load(name):
    """The steps of a numbered transcript, in their order."""
    return _Reader(_lines(path_of(name))).steps


@dataclass
class Exchange:
    """What a client wrote in one piece on one of its connections, and what it was answered."""

    line: int
    connection: int
    request: bytes
    answer: bytes = b""

    def header(self, name):
        found = re.search(rb"(?m)^" + name.encode() + rb": (.*)\r$", self.request)
        return found.group(1).decode() if found else ""

    def command(self):
        return self.request.split(b"\r\n")[0].decode()


def load_client(name):
    """The cases of a recording of a real client: {case: [Exchange]}."""
    cases, case, connection, side = {}, None, 0, ""
    with open(path_of(name), encoding="utf-8", newline="\n") as file:
        for number, raw in enumerate(file, 1):
            line = raw.rstrip("\n")
            if line.startswith("== "):
                case = cases.setdefault(line[3:], [])
            elif line.startswith("-- "):
                connection, side = int(line.split()[-1]), ""
            elif line.startswith("C "):
                if side != "C":
                    case.append(Exchange(number, connection, b""))
                case[-1].request += decode(line[2:])
                side = "C"
            elif line.startswith("D "):
                case[-1].answer += decode(line[2:])
                side = "D"
    return cases
