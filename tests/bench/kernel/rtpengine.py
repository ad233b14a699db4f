# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's rtpengine in user space, and as much of its control protocol as it takes to set up calls."""
import itertools
import socket
import subprocess

from house import await_true
from lab import netns

CONTROL = ("127.0.0.1", 22222)


def encode(value):
    """Bencode."""
    if isinstance(value, str):
        return b"%d:%s" % (len(value.encode()), value.encode())
    if isinstance(value, list):
        return b"l" + b"".join(map(encode, value)) + b"e"
    return b"d" + b"".join(encode(k) + encode(value[k]) for k in sorted(value)) + b"e"


def decode(data, at=0):
    """The value that stands at `at`, and where the next begins."""
    mark = data[at : at + 1]
    if mark == b"i":
        end = data.index(b"e", at)
        return int(data[at + 1 : end]), end + 1
    if mark in (b"l", b"d"):
        items, at = [], at + 1
        while data[at : at + 1] != b"e":
            item, at = decode(data, at)
            items.append(item)
        pairs = dict(zip(items[::2], items[1::2]))
        return (pairs if mark == b"d" else items), at + 1
    colon = data.index(b":", at)
    end = colon + 1 + int(data[at:colon])
    return data[colon + 1 : end].decode(), end


def sdp(address, port):
    return "\r\n".join((
        "v=0", f"o=- 1 1 IN IP4 {address}", "s=-", f"c=IN IP4 {address}", "t=0 0",
        f"m=audio {port} RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "a=sendrecv", ""))


def media_port(answer):
    line = next(line for line in answer["sdp"].splitlines() if line.startswith("m="))
    return int(line.split()[1])


class Rtpengine:
    """One thread in user space, in the relay's namespace."""

    def __init__(self, address, log):
        self._cookies = itertools.count(1)
        self._log = open(log, "ab")
        self.child = subprocess.Popen(
            netns.command_in("relay", [
                "rtpengine", "--config-file=none", "--foreground", "--log-stderr", "--log-level=3",
                "--table=-1", f"--interface={address}", f"--listen-ng={CONTROL[0]}:{CONTROL[1]}",
                "--port-min=20000", "--port-max=60000", "--num-threads=1", "--delete-delay=0",
            ]), stdout=self._log, stderr=self._log)
        with netns.inside("relay"):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.connect(CONTROL)
        self._socket.settimeout(1)
        await_true(self._answers, 10, f"rtpengine does not answer; its log is {log}")

    def _answers(self):
        try:
            return self._ask(command="ping")["result"] == "pong"
        except OSError:
            return False

    @property
    def pid(self):
        return self.child.pid

    def _ask(self, **request):
        cookie = b"%d " % next(self._cookies)
        self._socket.send(cookie + encode(request))
        while True:
            answer = self._socket.recv(65536)
            if answer.startswith(cookie):
                return decode(answer, len(cookie))[0]

    def call(self, number, caller, callee):
        """Sets a call up: the ports that the caller and the callee send to."""
        same = {"call-id": f"call-{number}", "from-tag": "A", "ICE": "remove",
                "replace": ["origin", "session-connection"]}
        offered = self._ask(command="offer", sdp=sdp(*caller), **same)
        answered = self._ask(command="answer", sdp=sdp(*callee), **{"to-tag": "B"}, **same)
        for answer in (offered, answered):
            if answer["result"] != "ok":
                raise SystemExit(f"rtpengine: {answer}")
        return media_port(answered), media_port(offered)

    def stop(self):
        self._socket.close()
        self.child.terminate()
        self.child.wait(10)
        self._log.close()
