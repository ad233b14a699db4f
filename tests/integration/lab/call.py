# SPDX-License-Identifier: GPL-2.0-or-later
"""A call between alice and bob: two sipp user agents, phones, and the judgement of it all."""
import asyncio
import itertools
import pathlib
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "phones"))
import phone as phones  # noqa: E402

from . import netns, sdp  # noqa: E402
from .sipp import Failed, UserAgent  # noqa: E402

_sip_ports = itertools.count(7000, 2)
SETTLE = 0.1  # seconds between the phones' last packet and the BYE


class Stream:
    """One m= line of the call: a phone at each end, and where SDP told each of them to send."""

    def __init__(self, call, kind, identity):
        transport = "udptl" if kind == "image" else "rtp"
        self.kind, self.call = kind, call
        self.alice, self.bob = (
            self._phone(f"{identity}/{side}", side, call.media_address[side], transport)
            for side in ("alice", "bob")
        )
        self.relay = {
            "alice": set(),
            "bob": set(),
        }  # the relay's RTP endpoints that each side was told
        self.since = {}  # flow number -> when both had heard each other
        self.refused = False

    @staticmethod
    def _phone(identity, place, address, transport):
        with netns.inside(place):
            return phones.Phone(identity, phones.open_pair(address), transport)

    def told(self, side, address, port):
        """SDP told `side` to send its media there; a hold address is for nobody."""
        if address in ("0.0.0.0", "::") or port == 0:
            return
        self.relay[side].add((address, port))
        getattr(self, side).call(address, port)

    def both_heard(self):
        for number, (alice, bob) in enumerate(zip(self.alice.flows, self.bob.flows)):
            if number not in self.since:
                moment = phones.both_heard(alice, bob)
                if moment is not None:
                    self.since[number] = moment
        return len(self.since) == len(self.alice.flows)

    def talk(self):
        self.alice.talk()
        self.bob.talk()

    def hush(self):
        self.alice.hush()
        self.bob.hush()

    def complaints(self):
        found = []
        if self.refused:
            return [
                f"{self.kind}: refused, yet heard"
                for flow in self.alice.flows + self.bob.flows
                if flow.heard
            ]
        if not self.both_heard():
            heard = [
                f"{flow.identity} {flow.kind} heard {len(flow.heard)}"
                for flow in self.alice.flows + self.bob.flows
            ]
            return [f"{self.kind}: not both sides have heard each other: {', '.join(heard)}"]
        for number, (alice, bob) in enumerate(zip(self.alice.flows, self.bob.flows)):
            for sender, receiver, side in ((alice, bob, "bob"), (bob, alice, "alice")):
                relay = {(address, port + number) for address, port in self.relay[side]}
                found += phones.complaints(sender, receiver, self.since[number], relay)
        return found

    def close(self):
        self.alice.close()
        self.bob.close()


class Call:
    def __init__(self, house, name, mode, family=4, media_family=None):
        self.house, self.name, self.mode = house, name, mode
        self.family = media_family or family
        call_id = f"{name}-{mode}"
        port = next(_sip_ports)
        self.alice, self.bob = (
            UserAgent(
                house.folder,
                name=side,
                place=side,
                address=addresses[family],
                port=port + extra,
                tag=tag,
                call_id=call_id,
                agent=agent,
            )
            for side, addresses, extra, tag, agent in (
                ("alice", netns.ALICE, 0, f"A-{call_id}", "Alice Phone 1.0"),
                ("bob", netns.BOB, 1, f"B-{call_id}", "Bob Softphone/2.0"),
            )
        )
        self.alice.peer, self.bob.peer = self.bob, self.alice
        host = netns.PROXY[family]
        proxy = f"{f'[{host}]' if family == 6 else host}:{house.proxy_port(mode)}"
        self.alice.proxy = self.bob.proxy = proxy
        self.call_id = call_id
        self.media_address = {"alice": netns.ALICE[self.family], "bob": netns.BOB[self.family]}
        self.streams = []
        self.hung_up = self.ended = None  # when the last request was let go, and was answered

    def stream(self, kind="audio"):
        """A new pair of phones."""
        stream = Stream(self, kind, f"{self.call_id}/{kind}{len(self.streams)}")
        self.streams.append(stream)
        return stream

    def offer(self, side, *streams, directions=None, address=None, attributes=(), refuse=()):
        """The SDP that `side` says about these streams."""
        media = []
        for place, stream in enumerate(streams):
            port = 0 if stream in refuse else getattr(stream, side).port
            media.append(
                sdp.Media(
                    stream.kind,
                    port,
                    direction=directions or "sendrecv",
                    attributes=list(attributes),
                )
            )
        return sdp.write(address or self.media_address[side], media)

    async def play(self):
        await self.bob.play()
        await self.alice.play()

    def connect(self, offer, answer, *streams, offerer="alice"):
        """Tells the phones what the two received SDPs say, and that these are the relay's."""
        answerer = "bob" if offerer == "alice" else "alice"
        for message, side in ((offer, answerer), (answer, offerer)):
            media = message.sdp
            if len(media) != len(streams):
                raise Failed(f"{side} got {len(media)} streams, not {len(streams)}: {message.body}")
            for heard, stream in zip(media, streams):
                if heard.kind != stream.kind:
                    raise Failed(f"{heard.kind} where {stream.kind} must be")
                self._check_rewritten(side, heard)
                stream.told(side, heard.address, heard.port)

    def _check_rewritten(self, side, heard):
        if heard.port == 0:
            return
        low, high = self.house.port_range
        if not (low <= heard.port < high and heard.port % 2 == 0):
            raise Failed(
                f"{side} got the port {heard.port}, not an even one of the relay's {low}:{high}"
            )
        if heard.address not in (netns.PROXY[self.family], "0.0.0.0", "::"):
            raise Failed(f"{side} got {heard.address}, not the relay's {netns.PROXY[self.family]}")

    async def talk(self, *streams, seconds=1.0):
        """Both sides talk; returns that long after they heard each other, in RTP and RTCP."""
        for stream in streams:
            stream.talk()
        deadline = time.monotonic() + 5
        while not all(stream.both_heard() for stream in streams):
            if time.monotonic() > deadline:
                raise Failed(
                    "; ".join(complaint for stream in streams for complaint in stream.complaints())
                )
            await asyncio.sleep(0.01)
        await asyncio.sleep(seconds)

    async def talk_one_way(self, phone, seconds):
        """One phone alone talks that long."""
        phone.talk()
        await asyncio.sleep(seconds)

    async def heard_stun(self, hearer, sender):
        """Waits for the connectivity check that `sender` sent."""
        deadline = time.monotonic() + 3
        while not any(
            p.kind == "stun" and p.identity == sender.identity for p in hearer.media.heard
        ):
            if time.monotonic() > deadline:
                raise Failed(f"{hearer.identity} does not hear the STUN of {sender.identity}")
            await asyncio.sleep(0.01)

    async def hush(self):
        """Everybody stops talking, and what is on its way arrives."""
        for stream in self.streams:
            stream.hush()
        await asyncio.sleep(SETTLE)

    async def finish(self):
        """Waits for both user agents' ends."""
        self.hung_up = time.time()
        await asyncio.gather(self.alice.finished(), self.bob.finished())
        self.ended = time.time()

    def check_media(self):
        found = [complaint for stream in self.streams for complaint in stream.complaints()]
        if found:
            raise Failed("; ".join(found))

    def close(self):
        self.alice.stop()
        self.bob.stop()
        for stream in self.streams:
            stream.close()
