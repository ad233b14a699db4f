#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A call through a running mediaproxyd, told to a newcomer.

Plays the SIP proxy on the control socket and two phones on loopback, sends RTP and RTCP both ways
through the relay, then shows the accounting record. Every number printed is read from the phones'
own receive counters or from SQLite; the exit code is 1 when they differ from what was sent.
"""
import argparse
import json
import os
import select
import socket
import sqlite3
import struct
import sys
import time

PACKETS = 50
RTCP_PACKETS = 2
PAYLOAD = 160  # bytes: 20 ms of G.711
DEADLINE = 10  # seconds for anything that is awaited


class Phone:
    """A phone on loopback: RTP on an even port, RTCP on the next one."""

    def __init__(self, name, payload_type):
        self.name = name
        self.payload_type = payload_type
        self.rtp, self.rtcp = self._bind_pair()
        self.port = self.rtp.getsockname()[1]
        self.relay = None  # (ip, port) that the SDP told us to send to
        self.sequence = 0
        self.received_rtp = 0
        self.received_rtcp = 0
        self.heard_from = set()

    @staticmethod
    def _bind_pair():
        for _ in range(100):
            rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            rtcp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            try:
                rtp.bind(("127.0.0.1", 0))
                port = rtp.getsockname()[1]
                if port % 2 == 0:
                    rtcp.bind(("127.0.0.1", port + 1))
                    return rtp, rtcp
            except OSError:
                pass
            rtp.close()
            rtcp.close()
        raise SystemExit("demonstration: no free pair of UDP ports on 127.0.0.1")

    def send_rtp(self):
        self.sequence += 1
        header = struct.pack("!BBHII", 0x80, self.payload_type, self.sequence,
                             self.sequence * PAYLOAD, self.port)
        self.rtp.sendto(header + self.name.encode().ljust(PAYLOAD, b"."), self.relay)

    def send_rtcp(self):
        report = struct.pack("!BBHI", 0x80, 201, 1, self.port)  # an empty receiver report
        self.rtcp.sendto(report, (self.relay[0], self.relay[1] + 1))

    def receive(self, seconds):
        ready, _, _ = select.select([self.rtp, self.rtcp], [], [], seconds)
        for sock in ready:
            _, source = sock.recvfrom(2048)
            self.heard_from.add("%s:%d" % source)
            if sock is self.rtp:
                self.received_rtp += 1
            else:
                self.received_rtcp += 1


class Proxy:
    """The SIP proxy's side of the control socket."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(path)
        self.call_id = "demonstration-%d-%d@mediaproxyd" % (os.getpid(), time.time())

    def ask(self, command, **headers):
        lines = [command] + ["%s: %s" % item for item in headers.items()] + ["", ""]
        self.socket.sendall("\r\n".join(lines).encode())
        answer = self.socket.makefile("rb").readline().decode().strip()
        print("    %-6s -> %s" % (command, answer))
        return answer

    def update(self, kind, to_tag, phone):
        return self.ask("update", type=kind, dialog_id="", call_id=self.call_id, cseq=1,
                        from_uri="alice@example.com", to_uri="bob@example.com", from_tag="alice",
                        to_tag=to_tag, user_agent="Little phone of " + phone.name,
                        signaling_ip="127.0.0.1", media_relay="",
                        media="audio:127.0.0.1:%d:sendrecv:ice=no" % phone.port)

    def remove(self):
        return self.ask("remove", call_id=self.call_id, from_tag="alice", to_tag="bob")


def relay_address(answer):
    parts = answer.split()
    if len(parts) != 2:
        raise SystemExit("demonstration: the daemon answered %r instead of an address" % answer)
    return parts[0], int(parts[1])


def exchange(alice, bob):
    """Both talk for a second; returns when all has arrived or the deadline is over."""
    for number in range(PACKETS):
        alice.send_rtp()
        bob.send_rtp()
        if number < RTCP_PACKETS:
            alice.send_rtcp()
            bob.send_rtcp()
        until = time.monotonic() + 0.02
        while (left := until - time.monotonic()) > 0:
            alice.receive(left / 2)
            bob.receive(max(0, until - time.monotonic()) / 2)
    until = time.monotonic() + 2
    while time.monotonic() < until and not all_arrived(alice, bob):
        alice.receive(0.02)
        bob.receive(0.02)


def all_arrived(alice, bob):
    return all(phone.received_rtp >= PACKETS and phone.received_rtcp >= RTCP_PACKETS
               for phone in (alice, bob))


def fetch_record(database, call_id):
    until = time.monotonic() + DEADLINE
    while time.monotonic() < until:
        try:
            connection = sqlite3.connect("file:%s?mode=ro" % database, uri=True)
            row = connection.execute("SELECT from_tag, to_tag, info FROM media_sessions "
                                     "WHERE call_id = ?", (call_id,)).fetchone()
            connection.close()
            if row:
                return row
        except sqlite3.Error:
            pass
        time.sleep(0.05)
    raise SystemExit("demonstration: no row for the call in %s after %d s" % (database, DEADLINE))


def check(what, got, wanted, failures):
    mark = "ok" if got == wanted else "WRONG, wanted %s" % (wanted,)
    print("    %-44s %8s  %s" % (what, got, mark))
    if got != wanted:
        failures.append(what)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--socket", required=True, help="the dispatcher's control socket")
    parser.add_argument("--database", required=True, help="the SQLite file of accounting_sqlite")
    options = parser.parse_args()
    failures = []
    alice, bob = Phone("alice", 0), Phone("bob", 8)
    proxy = Proxy(options.socket)

    print("\n1. The SIP proxy asks for relay ports: an INVITE with alice's SDP, a 200 with bob's.")
    bob.relay = relay_address(proxy.update("request", "", alice))
    alice.relay = relay_address(proxy.update("reply", "bob", bob))
    print("    alice (127.0.0.1:%d) now sends to %s:%d, bob (127.0.0.1:%d) to %s:%d"
          % ((alice.port,) + alice.relay + (bob.port,) + bob.relay))

    print("\n2. Both talk: %d RTP packets (G.711) and %d RTCP packets each way." %
          (PACKETS, RTCP_PACKETS))
    exchange(alice, bob)
    for phone, peer in ((alice, bob), (bob, alice)):
        check("%s received RTP packets from %s" % (phone.name, peer.name), phone.received_rtp,
              PACKETS, failures)
        check("%s received RTCP packets from %s" % (phone.name, peer.name), phone.received_rtcp,
              RTCP_PACKETS, failures)
    print("    where they came from: alice heard %s, bob heard %s: the relay, never each other"
          % (", ".join(sorted(alice.heard_from)), ", ".join(sorted(bob.heard_from))))
    check("alice heard only the relay", alice.heard_from <= {
        "%s:%d" % alice.relay, "%s:%d" % (alice.relay[0], alice.relay[1] + 1)}, True, failures)

    print("\n3. BYE: the proxy removes the session.")
    check("answer to remove", proxy.remove(), "removed", failures)

    print("\n4. The accounting record, read from %s:" % options.database)
    from_tag, to_tag, info = fetch_record(options.database, proxy.call_id)
    record = json.loads(info)
    print("\n".join("    " + line for line in json.dumps(record, indent=2).splitlines()))
    check("tags of the row", "%s %s" % (from_tag, to_tag), "alice bob", failures)
    stream = record["streams"][0]
    packets = PACKETS + RTCP_PACKETS
    size = PACKETS * (PAYLOAD + 12 + 28) + RTCP_PACKETS * (8 + 28)
    for party, codec in (("caller", "G711u"), ("callee", "G711a")):
        check("%s's codec" % party, stream[party + "_codec"], codec, failures)
        check("packets from the %s" % party, stream[party + "_packets"], packets, failures)
        check("bytes from the %s (whole IP packets)" % party, stream[party + "_bytes"], size,
              failures)
    check("media status", stream["status"], "closed", failures)

    if failures:
        print("\nThe demonstration FAILED: %s" % "; ".join(failures))
        return 1
    print("\nThe demonstration call is complete: every packet arrived and was accounted for.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
