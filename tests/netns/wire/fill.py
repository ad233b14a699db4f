# SPDX-License-Identifier: GPL-2.0-or-later
"""Fills a namespace's connection tracking table, as a flood of other people's connections would."""
import pathlib
import socket
import struct

from lab import netns

# linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h, nf_conntrack_common.h
_NETLINK_NETFILTER, _NEW = 12, 0x0100
_REQUEST_CREATE = 0x001 | 0x400
_TUPLE_ORIG, _TUPLE_REPLY, _STATUS, _TIMEOUT = 1, 2, 3, 7
_TUPLE_IP, _TUPLE_PROTO = 1, 2
_SOURCE_IP, _TARGET_IP = 1, 2
_PROTO, _SOURCE_PORT, _TARGET_PORT = 1, 2, 3
_NESTED = 0x8000
_ASSURED = 0x2 | 0x4 | 0x8  # SEEN_REPLY, ASSURED, CONFIRMED: nobody evicts such an entry
_FAMILY = 2


def _attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _tuple(kind, source, target, ports):
    addresses = _attribute(_SOURCE_IP, source) + _attribute(_TARGET_IP, target)
    protocol = _attribute(_PROTO, bytes([socket.IPPROTO_UDP]))
    protocol += _attribute(_SOURCE_PORT, struct.pack("!H", ports[0]))
    protocol += _attribute(_TARGET_PORT, struct.pack("!H", ports[1]))
    inner = _attribute(_TUPLE_IP | _NESTED, addresses)
    return _attribute(kind | _NESTED, inner + _attribute(_TUPLE_PROTO | _NESTED, protocol))


def _message(number):
    """An entry of a connection of its own."""
    source = bytes([198, 18, number >> 16 & 255, 1])
    target, ports = bytes([198, 19, 0, 1]), (number & 0xFFFF, 9)
    body = struct.pack("=BBH", _FAMILY, 0, 0)
    body += _tuple(_TUPLE_ORIG, source, target, ports)
    body += _tuple(_TUPLE_REPLY, target, source, ports[::-1])
    body += _attribute(_STATUS, struct.pack("!I", _ASSURED))
    body += _attribute(_TIMEOUT, struct.pack("!I", 600))
    return struct.pack("=IHHII", 16 + len(body), _NEW, _REQUEST_CREATE, number, 0) + body


def used_and_most(name):
    """Entries in the table, and how many it takes."""
    with netns.inside(name):
        folder = pathlib.Path("/proc/sys/net/netfilter")
        return tuple(
            int((folder / f"nf_conntrack_{key}").read_text(encoding="ascii"))
            for key in ("count", "max")
        )


def fill(name):
    """Until the table takes no more."""
    with netns.inside(name):
        sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    with sock:
        sock.bind((0, 0))
        sock.setblocking(False)
        number = 1
        while True:
            used, most = used_and_most(name)
            if used >= most:
                return
            missing = min(500, most - used)
            sock.send(b"".join(_message(number + i) for i in range(missing)))
            number += missing
