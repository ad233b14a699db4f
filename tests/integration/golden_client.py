# SPDX-License-Identifier: GPL-2.0-or-later
"""Replays what a real SIP proxy's module wrote against our dispatcher and relay in one process.

The recorded answers came from a stub; ours must be one line per request, of the right form, with a
port per stream of the request."""

import re

import golden_wire
from golden_compare import Finding

ANSWER_LIMIT = 2.0
ADDRESS = {4: re.compile(r"127\.0\.0\.1$"), 6: re.compile(r"::1$")}


class ClientReplay:
    """`connect()` gives a new socket to the dispatcher's control interface."""

    def __init__(self, cases, connect):
        self.cases, self._connect = cases, connect
        self.findings = []
        self._pump = golden_wire.Pump()
        self._wires = {}
        self._faced = {}  # (call_id, who is answered) -> ports per place

    def run(self):
        try:
            for case, exchanges in self.cases.items():
                for exchange in exchanges:
                    self._exchange(case, exchange)
            self._pump.wait(lambda: False, 0.3)
            for number, wire in self._wires.items():
                for line in wire.lines:
                    self._find(
                        "(end)", None, f"no more lines on connection {number}", line.decode()
                    )
        finally:
            self._pump.close()
        return self.findings

    def _find(self, case, exchange, wanted, ours):
        self.findings.append(Finding(exchange.line if exchange else 0, case, wanted, ours))

    def _exchange(self, case, exchange):
        wire = self._wire(exchange.connection)
        wire.write(exchange.request)
        if not self._pump.wait(lambda: wire.lines or wire.closed, ANSWER_LIMIT) or not wire.lines:
            self._find(case, exchange, "an answer", "(closed)" if wire.closed else "(nothing)")
            return
        answer = wire.lines.popleft().decode()
        wanted = self._wanted(exchange, answer)
        if wanted:
            self._find(case, exchange, wanted, answer)

    def _wire(self, number):
        if number not in self._wires:
            wire = golden_wire.Wire(self._connect(), f"connection {number}")
            self._wires[number] = self._pump.add(wire)
        return self._wires[number]

    def _wanted(self, exchange, answer):
        """What the answer should have been, or None when it is right."""
        if exchange.command() == "remove":
            return None if answer == "removed" else "removed"
        media = exchange.header("media")
        if not media:
            return None
        streams = [_stream(text) for text in media.split(",")]
        family = 6 if ":" in streams[0][0] else 4
        ip, *ports = answer.split(" ")
        if not ADDRESS[family].match(ip) or len(ports) != len(streams):
            return f"an IPv{family} address and {len(streams)} ports"
        for (_, signalled), port in zip(streams, ports):
            if not port.isdecimal() or int(port) % 2 or (signalled == "0") != (port == "0"):
                return f"an even port, 0 for a closed stream, not {port}"
        return self._changed(exchange, ports)

    def _changed(self, exchange, ports):
        """A port that faces a party at a place stays while the stub's did, which kept them all."""
        key = exchange.header("call_id"), exchange.answer.split(b"\r\n")[0]
        before = self._faced.setdefault(key, ports)
        if before != ports and b"image" not in exchange.request and "0" not in ports:
            return f"the ports {' '.join(before)} as before"
        return None


def _stream(text):
    """(address, port) of one stream of a media header."""
    while "=" in text.rsplit(":", 1)[1]:
        text = text.rsplit(":", 1)[0]
    head, port, _direction = text.rsplit(":", 2)
    return head.split(":", 1)[1], port
