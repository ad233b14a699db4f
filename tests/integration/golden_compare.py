# SPDX-License-Identifier: GPL-2.0-or-later
"""Compares what MediaProxy 4.1 said with what we say; the differences become findings.

Ids, ports and times are masked: a sequence number or port stands for the one that plays its part in
the replay (`Ports`), a time only has to be a time.
"""

import fnmatch
import json
from dataclasses import dataclass, field


@dataclass
class Finding:
    """Something that we do and 4.1 did not, or the other way round."""

    line: int  # of the transcript
    what: str  # "answer", "asked", "streams.caller_packets", ...
    theirs: str
    ours: str

    def __str__(self):
        return f"line {self.line}: {self.what}: 4.1 said {self.theirs!r}, we say {self.ours!r}"


@dataclass
class Difference:
    """A difference that a rule of the protocol wants. Fields left out fit everything.

    `rule` is the section of the protocol document and a few of its words.
    """

    rule: tuple
    file: str = "*"  # beginning of the file name
    side: str = "*"  # dispatcher, relay, both
    lines: tuple = ()
    what: str = "*"  # the three are patterns, `*` and `?` as in a shell
    theirs: str = "*"
    ours: str = "*"
    applied: int = field(default=0, compare=False)

    def covers(self, file, side):
        return fnmatch.fnmatchcase(file, self.file + "*") and fnmatch.fnmatchcase(side, self.side)

    def awaits(self, judged, replays):
        """True when a replay that this row covers was not run."""
        return any(self.covers(*replay) for replay in replays if replay not in judged)

    def fits(self, file, side, finding):
        return (
            self.covers(file, side)
            and (not self.lines or finding.line in self.lines)
            and _matches(finding.what, self.what)
            and _matches(finding.theirs, self.theirs)
            and _matches(finding.ours, self.ours)
        )


def _matches(text, pattern):
    """A pattern without `*` is compared as it is: answers hold brackets."""
    if "*" not in pattern:
        return text == pattern
    return fnmatch.fnmatchcase(text, pattern.replace("[", "[[]"))


class Ports:
    """Which port of ours plays the part of which recorded one, per call."""

    def __init__(self):
        self._ours = {}  # (call_id, recorded) -> ours
        self._recorded = {}  # (call_id, ours) -> recorded
        self._latest = {}  # recorded -> ours, for packets, which name no call

    def bind(self, call_id, recorded, ours):
        """None when the two go together, else a sentence."""
        if (recorded == 0) != (ours == 0):
            return "one is closed, the other is not"
        if recorded == 0:
            return None
        if ours % 2 or not 0 < ours < 65536:
            return "not an even port"
        key, reverse = (call_id, recorded), (call_id, ours)
        if self._ours.get(key, ours) != ours:
            return f"{recorded} was {self._ours[key]} before"
        if self._recorded.get(reverse, recorded) != recorded:
            return f"{ours} stood for {self._recorded[reverse]} before"
        self._ours[key], self._recorded[reverse] = ours, recorded
        self._latest[recorded] = ours
        return None

    def ours(self, call_id, recorded):
        return self._ours.get((call_id, recorded))

    def recorded(self, call_id, ours):
        return self._recorded.get((call_id, ours))

    def latest(self, recorded):
        """For a packet's destination; the RTCP port follows its RTP port."""
        base = self._latest.get(recorded - recorded % 2)
        return None if base is None else base + recorded % 2

    def played(self, ours):
        """The recorded port whose part a port that packets came from plays, None if it plays none."""
        bases = {port: recorded for recorded, port in self._latest.items()}
        base = bases.get(ours - ours % 2)
        return None if base is None else base + ours % 2

    def forget(self, call_id):
        for table in (self._ours, self._recorded):
            for key in [key for key in table if key[0] == call_id]:
                del table[key]


TIMES = ("start_time", "duration", "end_time", "uptime", "bps_relayed", "post_dial_delay")


def compare_values(theirs, ours, path="", masked=TIMES):
    """Yields (path, theirs, ours) per difference. We may have more keys, never fewer."""
    name = path.rsplit(".", 1)[-1]
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key, value in theirs.items():
            below = f"{path}.{key}" if path else key
            if key not in ours:
                yield below, json.dumps(value), "(missing)"
            else:
                yield from compare_values(value, ours[key], below, masked)
    elif isinstance(theirs, list) and isinstance(ours, list):
        if len(theirs) != len(ours):
            yield f"{path}.length".lstrip("."), str(len(theirs)), str(len(ours))
        for one, other in zip(theirs, ours):
            yield from compare_values(one, other, path, masked)
    elif name in masked and _is_number(theirs) and _is_number(ours):
        if isinstance(theirs, int) and isinstance(ours, float) and name != "bps_relayed":
            yield path, "an integer", json.dumps(ours)
    elif name == "version" and isinstance(theirs, str) and isinstance(ours, str):
        return
    elif theirs != ours or isinstance(theirs, bool) != isinstance(ours, bool):
        yield path, json.dumps(theirs), json.dumps(ours)


def _is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def parse_json(text):
    """The value, or None when it is not JSON (the words `error`, `None`, a version)."""
    if not text.startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None


def judge(file, side, findings, table):
    """What is wrong: findings that no rule wants, and rules of this file that nothing needed."""
    wrong = []
    for finding in findings:
        fitting = next((row for row in table if row.fits(file, side, finding)), None)
        if fitting:
            fitting.applied += 1
        else:
            wrong.append(str(finding))
    return wrong
