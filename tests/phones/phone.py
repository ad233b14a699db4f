#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A little phone: symmetric RTP and RTCP (or UDPTL) on a pair of ports; it notes what it
sends and hears.

Every packet carries its sender's identity and a number, so that a test can say which packets were
lost, doubled, or came from somewhere else than the relay. The integration tests use it.
On its own it is a command:

    phone.py --local 10.0.0.2:20000 --remote 10.0.0.1:50000 --identity alice --seconds 2

which sends for that long, then prints what it sent and heard as one line of JSON.
"""
import argparse
import asyncio
import collections
import json
import os
import socket
import struct
import sys
import time

PACKET_INTERVAL = 0.020
RTCP_INTERVAL = 0.200  # a real phone waits about 5 s; a test has less time
RTP_PAYLOAD = 160  # bytes: 20 ms of G.711
STUN_COOKIE = 0x2112A442
IP_HEADERS = {socket.AF_INET: 20 + 8, socket.AF_INET6: 40 + 8}

Sent = collections.namedtuple("Sent", "time number length")
Heard = collections.namedtuple("Heard", "time source kind identity number")


def endpoint(text):
    """'10.0.0.1:5000' or '[fd00::1]:5000' -> (address, port)."""
    host, _, port = text.rpartition(":")
    return host.strip("[]"), int(port)


def _marked(identity, number):
    return identity.encode() + b"#" + str(number).encode()


def _unmarked(payload):
    """The (identity, number) that a payload carries, or (None, None) when it is not ours."""
    identity, mark, number = payload.rstrip(b"\0").rpartition(b"#")
    if not mark or not number.isdigit():
        return None, None
    return identity.decode(errors="replace"), int(number)


def rtp_packet(identity, number, ssrc, payload_type=0):
    payload = _marked(identity, number).ljust(RTP_PAYLOAD, b"\0")
    return (
        struct.pack("!BBHII", 0x80, payload_type, number & 0xFFFF, number * 160 & 0xFFFFFFFF, ssrc)
        + payload
    )


def rtcp_packet(identity, number, ssrc):
    """A sender report and a source description whose CNAME carries the mark (RFC 3550, 6)."""
    seconds = time.time() + 2208988800
    report = struct.pack(
        "!BBHIIIIII", 0x80, 200, 6, ssrc, int(seconds), int(seconds % 1 * 2**32), 0, number, 0
    )
    item = b"\x01" + bytes([len(_marked(identity, number))]) + _marked(identity, number)
    chunk = struct.pack("!I", ssrc) + item + b"\0" * (4 - len(item) % 4)
    return report + struct.pack("!BBH", 0x81, 202, len(chunk) // 4) + chunk


def udptl_packet(identity, number):
    payload = _marked(identity, number)
    return struct.pack("!HB", number & 0xFFFF, len(payload)) + payload + b"\0\0"


def stun_packet(identity, number):
    """A binding request (RFC 5389) whose USERNAME carries the mark."""
    name = _marked(identity, number)
    attribute = struct.pack("!HH", 0x0006, len(name)) + name + b"\0" * (-len(name) % 4)
    return struct.pack("!HHI", 0x0001, len(attribute), STUN_COOKIE) + os.urandom(12) + attribute


def read_packet(data):
    """(kind, identity, number) of a received packet, told apart as in RFC 7983 and RFC 5761."""
    if len(data) >= 20 and data[0] < 4 and struct.unpack("!I", data[4:8])[0] == STUN_COOKIE:
        length = struct.unpack("!H", data[22:24])[0]
        return ("stun", *_unmarked(data[24 : 24 + length]))
    if len(data) >= 12 and data[0] >> 6 == 2:
        if 192 <= data[1] <= 223:
            return (
                ("rtcp", *_unmarked(data[38 : 38 + data[37]]))
                if len(data) > 38
                else ("rtcp", None, None)
            )
        return ("rtp", *_unmarked(data[12:]))
    return ("udptl", *_unmarked(data[3:-2]))


class Flow:
    """One socket of a phone: what it sends, to whom, what it hears. Lives on the running loop."""

    def __init__(self, kind, identity, sock, interval):
        self.kind, self.identity, self.sock, self.interval = kind, identity, sock, interval
        self.remote = None
        self.sent, self.heard = [], []
        self.extra = []  # packets outside the numbered media: STUN
        self.ssrc = struct.unpack("!I", os.urandom(4))[0]
        self._talking = None
        sock.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sock.fileno(), self._hear)

    @property
    def local(self):
        return self.sock.getsockname()[:2]

    def talk(self):
        if self._talking is None:
            self._talking = self._loop.create_task(self._talk())

    def hush(self):
        if self._talking is not None:
            self._talking.cancel()
            self._talking = None

    def close(self):
        self.hush()
        self._loop.remove_reader(self.sock.fileno())
        self.sock.close()

    def stun(self):
        data = stun_packet(self.identity, len(self.extra))
        self.extra.append(Sent(time.monotonic(), len(self.extra), len(data)))
        self.sock.sendto(data, self.remote)

    def sent_packets(self):
        return len(self.sent) + len(self.extra)

    def sent_bytes(self):
        """Sizes of whole IP packets, as the kernel counts them."""
        headers = IP_HEADERS[self.sock.family]
        return sum(packet.length + headers for packet in self.sent + self.extra)

    def heard_from(self, identity):
        return [
            packet
            for packet in self.heard
            if packet.identity == identity and packet.kind == self.kind
        ]

    async def _talk(self):
        due = time.monotonic()
        while True:
            self._send()
            due = max(due + self.interval, time.monotonic() - 0.1)
            await asyncio.sleep(due - time.monotonic())

    def _send(self):
        number = len(self.sent)
        if self.kind == "rtp":
            data = rtp_packet(self.identity, number, self.ssrc)
        elif self.kind == "rtcp":
            data = rtcp_packet(self.identity, number, self.ssrc)
        else:
            data = udptl_packet(self.identity, number)
        self.sent.append(Sent(time.monotonic(), number, len(data)))
        try:
            self.sock.sendto(data, self.remote)
        except ConnectionRefusedError:  # an ICMP error of an earlier packet: this one was not sent
            self.sock.sendto(data, self.remote)

    def _hear(self):
        while True:
            try:
                data, source = self.sock.recvfrom(2048)
            except (BlockingIOError, ConnectionRefusedError):
                return
            self.heard.append(Heard(time.monotonic(), source[:2], *read_packet(data)))


class Phone:
    """RTP and RTCP (kind 'rtp'), or a fax machine's UDPTL alone (kind 'udptl')."""

    def __init__(self, identity, sockets, kind="rtp"):
        self.identity = identity
        self.media = Flow(kind, identity, sockets[0], PACKET_INTERVAL)
        self.flows = [self.media]
        if kind == "rtp":
            self.flows.append(Flow("rtcp", identity, sockets[1], RTCP_INTERVAL))
        else:
            sockets[1].close()

    @property
    def port(self):
        return self.media.local[1]

    def call(self, address, port):
        """From now on send to this address: RTP to the port, RTCP to the one above."""
        for offset, flow in enumerate(self.flows):
            flow.remote = (address, port + offset)

    def talk(self):
        for flow in self.flows:
            flow.talk()

    def hush(self):
        for flow in self.flows:
            flow.hush()

    def close(self):
        for flow in self.flows:
            flow.close()


def open_pair(address, port=0):
    """Two bound sockets, an even port and the one above it; port 0 = any such pair that is free."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        first, second = socket.socket(family, socket.SOCK_DGRAM), socket.socket(
            family, socket.SOCK_DGRAM
        )
        try:
            first.bind((address, port))
            number = first.getsockname()[1]
            if number % 2:
                raise OSError("an odd port")
            second.bind((address, number + 1))
            return first, second
        except OSError:
            first.close()
            second.close()
            if port:
                raise


def both_heard(one, other):
    """When the later of two flows heard the other one first, or None while one of them has not."""
    firsts = [flow.heard_from(peer.identity)[:1] for flow, peer in ((one, other), (other, one))]
    if not all(firsts):
        return None
    return max(first[0].time for first in firsts)


def complaints(sender, receiver, since, relay):
    """What went wrong between two flows: losses from `since` on, doubles, wrong sources.

    `relay` is the set of endpoints that packets may come from: those that SDP gave to the receiver.
    """
    found = []
    heard = collections.Counter(packet.number for packet in receiver.heard_from(sender.identity))
    lost = [
        packet.number for packet in sender.sent if packet.time >= since and not heard[packet.number]
    ]
    if lost:
        found.append(f"{len(lost)} of {len(sender.sent)} {sender.kind} packets lost: {lost[:10]}")
    doubled = [number for number, times in heard.items() if times > 1]
    if doubled:
        found.append(f"doubled {sender.kind} packets: {doubled[:10]}")
    strange = {packet.source for packet in receiver.heard if packet.source not in relay}
    if strange:
        found.append(f"{sender.kind} from {sorted(strange)}, not from the relay's {sorted(relay)}")
    foreign = {packet.identity for packet in receiver.heard if packet.identity != sender.identity}
    if foreign:
        found.append(f"{sender.kind} of somebody else: {foreign}")
    return [f"{sender.identity} -> {receiver.identity}: {what}" for what in found]


async def _main(options):
    if options.netns:
        descriptor = os.open("/run/netns/" + options.netns, os.O_RDONLY)
        import ctypes

        if ctypes.CDLL(None, use_errno=True).setns(descriptor, 0) != 0:
            raise OSError(ctypes.get_errno(), "cannot enter the namespace " + options.netns)
    phone = Phone(options.identity, open_pair(*endpoint(options.local)), options.kind)
    phone.call(*endpoint(options.remote))
    phone.talk()
    await asyncio.sleep(options.seconds)
    phone.hush()
    await asyncio.sleep(0.2)  # what is still on its way
    result = {"identity": options.identity, "local": "%s:%d" % phone.media.local}
    for flow in phone.flows:
        result[flow.kind] = {
            "sent": len(flow.sent),
            "heard": len(flow.heard),
            "heard_from": dict(
                collections.Counter(
                    f"{p.identity} via {p.source[0]}:{p.source[1]}" for p in flow.heard
                )
            ),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--local", required=True, help="ADDRESS:PORT; port 0 = any pair")
    parser.add_argument("--remote", required=True, help="ADDRESS:PORT of the relay")
    parser.add_argument("--identity", default="phone")
    parser.add_argument("--kind", choices=["rtp", "udptl"], default="rtp")
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--netns", help="name of a network namespace to live in")
    sys.exit(asyncio.run(_main(parser.parse_args())))
