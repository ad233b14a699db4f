# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of SDP (RFC 4566) as the tests say and hear."""
import dataclasses

_FORMATS = {"audio": "RTP/AVP 0", "video": "RTP/AVP 31", "image": "udptl t38"}


@dataclasses.dataclass
class Media:
    kind: str
    port: int
    address: str = (
        None  # a c= line of its own when it is said; when it is heard, always the one that counts
    )
    direction: str = "sendrecv"
    attributes: list = dataclasses.field(default_factory=list)


def write(address, streams, session_attributes=()):
    """An SDP body: `address` in the session's c= line, one m= line per Media."""
    family = "IP6" if ":" in address else "IP4"
    lines = ["v=0", f"o=- 1 1 IN {family} {address}", "s=-", f"c=IN {family} {address}", "t=0 0"]
    lines += [f"a={attribute}" for attribute in session_attributes]
    for stream in streams:
        lines.append(f"m={stream.kind} {stream.port} {_FORMATS[stream.kind]}")
        if stream.address:
            lines.append(f"c=IN {family} {stream.address}")
        lines.append(f"a={stream.direction}")
        lines += [f"a={attribute}" for attribute in stream.attributes]
    return "\n".join(lines)


def read(body):
    """The Media of an SDP body, in its order."""
    session, streams = None, []
    for line in body.splitlines():
        kind, _, value = line.partition("=")
        if kind == "c":
            address = value.split()[2]
            if streams:
                streams[-1].address = address
            else:
                session = address
        elif kind == "m":
            words = value.split()
            streams.append(Media(words[0], int(words[1])))
        elif kind == "a" and streams:
            if value in ("sendrecv", "sendonly", "recvonly", "inactive"):
                streams[-1].direction = value
            else:
                streams[-1].attributes.append(value)
    for stream in streams:
        stream.address = stream.address or session
    return streams
