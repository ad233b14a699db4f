# SPDX-License-Identifier: GPL-2.0-or-later
"""The two phones of a recorded call, on loopback: they act out the notes of a transcript."""

import random
import re
import select
import socket
import time

HOMES = {"alice": "20.1.0.2", "bob": "20.2.0.2"}
PACE = 0.002  # seconds between packets
STUN_BINDING_REQUEST = bytes.fromhex("000100002112a442") + bytes(12)

SENT = re.compile(
    r"(alice|bob) sent (\d+) (?:RTP|RTCP) packets of (\d+) bytes \(pt (\d+)\) "
    r"from port (\d+) to [\d.]+:(\d+)"
)
ODD = re.compile(
    r"(alice|bob) sent (?:an? )?(STUN binding request|empty datagram|1-byte datagram) "
    r"to [\d.]+:(\d+)"
)
RECEIVED = re.compile(r"(alice|bob) received (\d+) (RTP|RTCP) packets from \[(.*)\]")


class Phones:
    """A recorded port stands for a pair of ports of the kernel's choice, RTP even and RTCP above it."""

    def __init__(self, plan, ports):
        self._plan, self._ports = plan, ports
        self._sockets = {}  # (party, recorded port) -> socket
        self._sent = {}  # recorded port of the relay -> [packets, bytes]

    def close(self):
        for sock in self._sockets.values():
            sock.close()

    def real_port(self, recorded):
        """For a signalled address. Alice has the ports below 6000, Bob those above."""
        party = "alice" if recorded < 6000 else "bob"
        return self._socket(party, recorded).getsockname()[1]

    def recorded(self, endpoint):
        """A phone's `ip:port`, its IP as recorded, with the recorded port; others unchanged."""
        for (party, port), sock in self._sockets.items():
            if endpoint == f"{HOMES[party]}:{sock.getsockname()[1]}":
                return f"{HOMES[party]}:{port}"
        return endpoint

    def sent(self, port):
        """[packets, bytes on the wire] for a recorded RTP port and the RTCP port above it."""
        pairs = [self._sent.get(port, (0, 0)), self._sent.get(port + 1, (0, 0))]
        return [sum(column) for column in zip(*pairs)]

    def _socket(self, party, recorded):
        if (party, recorded) not in self._sockets:
            even = recorded - recorded % 2
            pair = _bind_pair(self._plan.real(HOMES[party]))
            self._sockets[party, even], self._sockets[party, even + 1] = pair
        return self._sockets[party, recorded]

    def act(self, note, counted=True):
        """Sends what the note says; False when it is none of that kind. `counted`: part of the call."""
        sent, odd = SENT.match(note), ODD.match(note)
        if sent:
            party, count, size, payload_type, source, target = sent.groups()
            packets = [_rtp(int(size), int(payload_type), number) for number in range(int(count))]
            self._send(party, int(source), int(target), packets, counted)
        elif odd:
            party, what, target = odd.groups()
            packet = {
                "STUN binding request": STUN_BINDING_REQUEST,
                "empty datagram": b"",
                "1-byte datagram": b"x",
            }[what]
            self._send(party, 5000 if party == "alice" else 6000, int(target), [packet], counted)
        return bool(sent or odd)

    def _send(self, party, source, target, packets, counted):
        sock, port = self._socket(party, source), self._ports.latest(target)
        if port is None:
            raise LookupError(f"no port of ours stands for {target}")
        counter = self._sent.setdefault(target, [0, 0])
        for packet in packets:
            sock.sendto(packet, (self._plan.real("20.3.0.1"), port))
            if counted:
                counter[0] += 1
                counter[1] += len(packet) + 28
            time.sleep(PACE)

    def received(self, note):
        """For a note about reception: ("N from [...]" recorded, the same of what came here)."""
        found = RECEIVED.match(note)
        if not found:
            return None
        party, count, kind, sources = found.groups()
        packets = self._collect(party, kind == "RTCP", int(count))
        names = sorted({self._recorded_source(source) for source in packets})
        theirs = f"{count} from [{sources}]"
        return theirs, f"{len(packets)} from [{', '.join(repr(name) for name in names)}]"

    def _recorded_source(self, source):
        """Where a packet came from, told as the transcript tells it."""
        ip, port = self._plan.recorded(source[0]), self._ports.played(source[1])
        return f"{ip}:{port}" if port else f"{ip}:{source[1]} (plays no part)"

    def _collect(self, party, rtcp, wanted):
        """What came since the last time; waits for the wanted number and a moment longer."""
        sockets = [
            sock
            for (owner, port), sock in self._sockets.items()
            if owner == party and port % 2 == int(rtcp)
        ]
        packets, end = [], time.monotonic() + (2.0 if wanted else 0.2)
        while time.monotonic() < end:
            ready, _, _ = select.select(sockets, [], [], max(0.0, end - time.monotonic()))
            for sock in ready:
                packets.append(sock.recvfrom(2048)[1])
            if wanted and len(packets) == wanted and end > time.monotonic() + 0.1:
                end = time.monotonic() + 0.1
        return packets


def _rtp(size, payload_type, number):
    header = bytes([0x80, payload_type]) + number.to_bytes(2, "big") + bytes(8)
    return header + bytes(size - len(header))


def _bind_pair(address):
    for _ in range(200):
        first, second = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        port = random.randrange(10000, 30000, 2)
        try:
            first.bind((address, port))
            second.bind((address, port + 1))
            return first, second
        except OSError:
            first.close()
            second.close()
    raise OSError(f"no pair of ports is free on {address}")
