# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls as a SIP proxy tells of them: made, changed under traffic, ended."""
from lab.cluster import ports_of

CALLER_PORT = CALLEE_PORT = 10000  # of the first call's phones
STRIDE = 4  # ports a phone: RTP, RTCP, and the same on its other pair, where it listens too


def media(address, port, direction="sendrecv"):
    return f"audio:{address}:{port}:{direction}:ice=no"


class Call:
    """One call with one stream between phones of alice and bob."""

    def __init__(self, place, number, family=4, prefix="call"):
        self.number, self.call_id, self.family = number, f"{prefix}-{number}", family
        self.caller = (place.alice[family], CALLER_PORT + STRIDE * number)
        self.callee = (place.bob[family], CALLEE_PORT + STRIDE * number)
        self.relay_address = place.relay[family]
        self.to_callee = self.to_caller = None  # the relay's ports that each of them sends to
        self._cseq = {"A": 0, "B": 0}
        self._moved = {"A": 0, "B": 0}  # which of its pairs a side names: 0 or 2

    def establish(self, proxy):
        """INVITE and 200."""
        self._cseq["A"] += 1
        offered = self._tell(proxy, "A", media(*self.caller), "request")
        answered = self._tell(proxy, "A", media(*self.callee), "reply")
        (self.to_caller,), (self.to_callee,) = ports_of(offered), ports_of(answered)

    def reinvite(self, proxy, offerer="A", directions=("sendrecv", "sendrecv"), moves=True):
        """Another round; with `moves` the answerer names its other pair: its leg is learned anew.

        It goes on to speak from the first pair: a source with the signalled IP is believed.
        """
        answerer = "B" if offerer == "A" else "A"
        self._cseq[offerer] += 1
        if moves:
            self._moved[answerer] ^= 2
        known = self._ports()
        answers = [
            self._tell(proxy, offerer, self._media_of(speaker, direction), kind)
            for speaker, direction, kind in (
                (offerer, directions[0], "request"),
                (answerer, directions[1], "reply"),
            )
        ]
        ports = tuple(ports_of(answer)[0] for answer in answers)
        if ports != (known if offerer == "A" else known[::-1]):
            raise AssertionError(f"{self.call_id}: the relay's ports changed: {answers}")

    def remove(self, proxy):
        if (answer := proxy.remove(self.call_id)) != "removed":
            raise AssertionError(f"{self.call_id}: {answer}")

    def plan(self, rtcp=False):
        """A line for media_load."""
        more = 1 if rtcp else 0
        ends = (
            (self.caller[0], self.caller[1] + more),
            (self.relay_address, self.to_callee + more),
            (self.callee[0], self.callee[1] + more),
            (self.relay_address, self.to_caller + more),
        )
        words = " ".join(f"{address} {port}" for address, port in ends)
        return f"{2 * self.number + more} {'rtcp' if rtcp else 'rtp'} {words}"

    def _ports(self):
        return self.to_caller, self.to_callee

    def _media_of(self, tag, direction):
        address, port = self.caller if tag == "A" else self.callee
        return media(address, port + self._moved[tag], direction)

    def _tell(self, proxy, offerer, said, kind):
        return proxy.update(
            self.call_id,
            said,
            kind=kind,
            cseq=self._cseq[offerer],
            from_tag=offerer,
            to_tag=("B" if offerer == "A" else "A") if kind == "reply" or offerer == "B" else "",
            signaling_ip=self.relay_address,
        )
