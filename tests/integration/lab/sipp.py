# SPDX-License-Identifier: GPL-2.0-or-later
"""SIP user agents played by sipp: a scenario is written step by step, its trace is followed.

A scenario waits at a gate until the test opens it with a NOTIFY sent straight to the user agent, so
that signalling goes on when the media is where the test wants it, not after a pause.
"""
import asyncio
import dataclasses
import re

from . import netns, sdp

REASONS = {
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    486: "Busy Here",
    487: "Request Terminated",
    488: "Not Acceptable Here",
}


class Failed(AssertionError):
    """Something did not come, or not as it must."""


@dataclasses.dataclass
class Message:
    start: str
    headers: list
    body: str

    @property
    def status(self):
        return int(self.start.split()[1]) if self.start.startswith("SIP/2.0") else None

    @property
    def method(self):
        return self["CSeq"].split()[1]

    @property
    def sdp(self):
        return sdp.read(self.body)

    def __getitem__(self, name):
        return next(value for key, value in self.headers if key.lower() == name.lower())

    def text(self):
        return "\r\n".join(
            [self.start, *(f"{key}: {value}" for key, value in self.headers), "", self.body]
        )


def read_message(text):
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    lines = head.split("\n")
    headers = [
        tuple(part.strip() for part in line.split(":", 1)) for line in lines[1:] if ":" in line
    ]
    return Message(lines[0], headers, body)


class UserAgent:
    """One side of a call. Steps (invite, expect, ...) are written first, then play() runs them."""

    def __init__(self, folder, *, name, place, address, port, tag, call_id, agent):
        self.name, self.place, self.address, self.tag = name, place, address, tag
        self.port, self.call_id, self.agent = port, call_id, agent
        self.peer = None  # the other UserAgent
        self.proxy = None  # ADDRESS:PORT of the SIP proxy
        self.received, self.sent = [], []
        self._file = folder / f"{call_id}-{name}"
        self._steps, self._cseq, self._first = [], 0, None
        self._dialog = False  # the next request is sent inside the dialog
        self._calls = False
        self._process, self._opened, self._read = None, 0, 0

    @property
    def where(self):
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"

    @property
    def uri(self):
        return f"sip:{self.name}@example.{'com' if self.name == 'alice' else 'net'}"

    def invite(self, body=None, headers=()):
        """Sends INVITE: the first one makes this side the caller, the others are re-INVITEs."""
        self._cseq += 1
        if not self._steps:
            self._calls = True
        self._request("INVITE", body, headers)
        return self

    def expect(self, status, *, provisional=()):
        """Waits for this answer; 100 and those in `provisional` may come before."""
        for early in (100, *provisional):
            self._steps.append(f'<recv response="{early}" optional="true"/>')
        learns_routes = "" if self._dialog else ' rrs="true"'
        self._steps.append(f'<recv response="{status}"{learns_routes}/>')
        self._dialog = self._dialog or 200 <= status < 300
        return self

    def ack(self, body=None):
        """Acknowledges a 200."""
        self._request("ACK", body)
        return self

    def ack_refusal(self):
        """Acknowledges a final answer that is no 200, within the INVITE's own transaction."""
        self._request("ACK", None, branch="INVITE")
        return self

    def cancel(self):
        """Cancels the INVITE and sees it end."""
        self._request("CANCEL", None, branch="INVITE")
        self._steps += ['<recv response="200"/>', '<recv response="487"/>']
        return self.ack_refusal()

    def bye(self):
        self._cseq += 1
        self._request("BYE", None)
        self._steps.append('<recv response="200"/>')
        return self

    def on(self, method):
        """Waits for a request."""
        learns_routes = "" if self._dialog else ' rrs="true"'
        self._steps.append(f'<recv request="{method}"{learns_routes}/>')
        return self

    def reply(self, status, body=None, headers=()):
        """Answers the request that came last."""
        tag = "" if self._dialog else f";tag={self.tag}"
        self._response(status, body, "[last_Via:]", f"[last_To:]{tag}", headers)
        self._dialog = self._dialog or 200 <= status < 300
        return self

    def reply_cancelled(self):
        """Answers the CANCEL that came last, then the INVITE it is about, and awaits the ACK."""
        self._response(200, None, "[last_Via:]", f"[last_To:];tag={self.tag}", cseq="[last_CSeq:]")
        via = "[last_Via:]\nVia: SIP/2.0/UDP [peer];branch=" + self._branch("INVITE", 1)
        self._response(487, None, via, f"[last_To:];tag={self.tag}", cseq="CSeq: 1 INVITE")
        return self.on("ACK")

    def reply_bye(self):
        return self.on("BYE").reply(200)

    def gate(self):
        """Waits until the test calls open_gate()."""
        self._steps.append('<recv request="NOTIFY"/>')
        return self

    async def play(self):
        """Starts sipp; the callee listens when this returns."""
        scenario = self._file.with_suffix(".xml")
        steps = "\n".join(self._steps)
        scenario.write_text(
            f'<?xml version="1.0"?>\n<scenario name="{self.name}">\n{steps}\n</scenario>\n'
        )
        command = [
            "sipp",
            self.proxy,
            "-sf",
            scenario,
            "-i",
            self.address,
            "-p",
            str(self.port),
            "-m",
            "1",
            "-key",
            "own",
            self.where,
            "-key",
            "peer",
            self.peer.where,
            "-cid_str",
            self.call_id,
            "-trace_msg",
            "-message_file",
            self._file.with_suffix(".msg"),
            "-trace_err",
            "-error_file",
            self._file.with_suffix(".err"),
            "-nostdin",
            "-timeout",
            "25",
            "-timeout_error",
            "-default_behaviors",
            "none",
        ]
        with open(self._file.with_suffix(".out"), "wb") as out:
            self._process = await asyncio.create_subprocess_exec(
                *netns.command_in(self.place, [str(word) for word in command]),
                stdout=out,
                stderr=out,
            )
        if not self._calls:
            await self._listening()

    async def got(self, what, cseq=None, method="INVITE"):
        """The received message: a status (of a request's number and method) or a method."""

        def fits(message):
            if isinstance(what, int):
                return (
                    message.status == what
                    and message.method == method
                    and (cseq is None or message["CSeq"].startswith(f"{cseq} "))
                )
            return message.start.startswith(what + " ") and (
                cseq is None or message["CSeq"].startswith(f"{cseq} ")
            )

        return await self._await(
            lambda: next((m for m in self.received if fits(m)), None), f"no {what} came"
        )

    async def did_send(self, what):
        """The sent message whose start line begins so."""
        return await self._await(
            lambda: next((m for m in self.sent if m.start.startswith(what)), None),
            f"{what} was not sent",
        )

    def open_gate(self):
        """Lets the scenario go on.

        Looks like the last INVITE that came, for an answer to that repeats its headers.
        """
        self._opened += 1
        invites = [message for message in self.received if message.start.startswith("INVITE ")]
        headers = (
            invites[-1].headers
            if invites
            else [
                ("Via", f"SIP/2.0/UDP {self.where};branch=z9hG4bK-gate-{self._opened}"),
                ("From", "<sip:test@localhost>;tag=t"),
                ("To", "<sip:test@localhost>"),
                ("Call-ID", self.call_id),
                ("CSeq", f"{self._opened} NOTIFY"),
            ]
        )
        headers = [
            header
            for header in headers
            if header[0].lower() not in ("content-length", "content-type")
        ]
        headers += [("X-Gate", str(self._opened)), ("Content-Length", "0")]
        notify = Message(f"NOTIFY sip:{self.name}@{self.where} SIP/2.0", headers, "")
        with netns.udp_socket(self.place, self.address) as sock:
            sock.sendto(notify.text().encode(), (self.address, self.port))

    async def finished(self):
        """Waits until the scenario has been played to its end."""
        try:
            status = await asyncio.wait_for(self._process.wait(), 15)
        except asyncio.TimeoutError:
            status = "still running"
        self._read_trace()
        if status != 0:
            raise Failed(f"sipp of {self.name}: {status}; {self._complaint()}")

    def stop(self):
        if self._process and self._process.returncode is None:
            self._process.kill()

    def _branch(self, method, cseq):
        return f"z9hG4bK-{self.call_id}-{method}-{cseq}"

    def _request(self, method, body, headers=(), branch=None):
        # Square brackets are sipp's own: those of an IPv6 address come in through its keys.
        target = "[next_url]" if self._dialog else f"sip:{self.peer.name}@[peer]"
        lines = [
            f"{method} {target} SIP/2.0",
            f"Via: SIP/2.0/UDP [own];branch={self._branch(branch or method, self._cseq)}",
            "[routes]" if self._dialog else None,
            f"From: <{self.uri}>;tag={self.tag}",
            f"To: <{self.peer.uri}>"
            + (
                f";tag={self.peer.tag}"
                if self._dialog
                else "[peer_tag_param]"
                if method == "ACK"
                else ""
            ),
            f"Call-ID: {self.call_id}",
            f"CSeq: {self._cseq} {method}",
            "Max-Forwards: 70",
            f"Contact: <sip:{self.name}@[own]>",
            f"User-Agent: {self.agent}",
            *headers,
        ]
        self._steps.append(self._send(lines, body))

    def _response(self, status, body, via, to, headers=(), cseq="[last_CSeq:]"):
        lines = [
            f"SIP/2.0 {status} {REASONS[status]}",
            via,
            "[last_Record-Route:]",
            "[last_From:]",
            to,
            "[last_Call-ID:]",
            cseq,
            f"Contact: <sip:{self.name}@[own]>",
            f"User-Agent: {self.agent}",
            *headers,
        ]
        self._steps.append(self._send(lines, body))

    @staticmethod
    def _send(lines, body):
        lines = [line for line in lines if line]
        if body is not None:
            lines.append("Content-Type: application/sdp")
        lines += ["Content-Length: [len]", ""]
        if body is not None:
            lines.append(body)
        text = "\n".join(lines)
        return f"<send><![CDATA[\n{text}\n]]></send>"

    async def _listening(self):
        """Waits until the port is bound: /proc/net/udp of the process' namespace tells."""
        port = f":{self.port:04X} "
        while True:
            if self._process.returncode is not None:
                raise Failed(f"sipp of {self.name} does not start: {self._complaint()}")
            for table in ("udp", "udp6"):
                try:
                    with open(f"/proc/{self._process.pid}/net/{table}", encoding="ascii") as lines:
                        if any(port in line.split("rem")[0][:60] for line in lines):
                            return
                except OSError:
                    pass
            await asyncio.sleep(0.01)

    async def _await(self, look, failure, patience=10):
        for _ in range(int(patience / 0.01)):
            self._read_trace()
            found = look()
            if found is not None:
                return found
            if self._process.returncode not in (None, 0):
                break
            await asyncio.sleep(0.01)
        raise Failed(f"{self.name}: {failure}; {self._complaint()}")

    def _read_trace(self):
        try:
            with open(self._file.with_suffix(".msg"), "rb") as trace:
                trace.seek(self._read)
                news = trace.read()
        except FileNotFoundError:
            return
        place = 0
        heading = re.compile(rb"UDP message (sent|received) [\[(](\d+)[\])] bytes ?:\n\n")
        while match := heading.search(news, place):
            end = match.end() + int(match[2])
            if end > len(news):
                break
            message = read_message(news[match.end() : end].decode())
            if not message.start.startswith("NOTIFY"):
                (self.sent if match[1] == b"sent" else self.received).append(message)
            place = end
        self._read += place

    def _complaint(self):
        for kind in (".err", ".out"):
            try:
                text = self._file.with_suffix(kind).read_text(errors="replace").strip()
            except FileNotFoundError:
                continue
            if text and (kind == ".err" or not self.received):
                return text[-1500:]
        return "received: " + ", ".join(message.start for message in self.received)
