# SPDX-License-Identifier: GPL-2.0-or-later
"""Replays a transcript against our relay: plays its MediaProxy 4.x dispatcher and the two phones, and
notes each line of the relay that differs from what 4.1 wrote."""

import collections
import json
import random
import re
import signal
import time

import golden_wire
from golden_compare import Finding, Ports, compare_values, parse_json
from golden_phones import Phones
from golden_transcript import Step

ANSWER_LIMIT = 3.0  # seconds for an answer
EVENT_LIMIT = 15.0  # seconds for what comes by a timer: expiry, keepalive, reconnection
FAR_AHEAD = 1000000  # from here on, sequence numbers of requests that no transcript has
COUNTERS = ("caller_packets", "callee_packets", "caller_bytes", "callee_bytes")


class AddressPlan:
    """Recorded 20.x.0.y is 127.x.N.y here, N being this replay's own."""

    def __init__(self):
        self.number = random.randrange(1, 255)

    def real(self, text):
        return re.sub(r"\b20\.([123])\.0\.(\d+)\b", rf"127.\1.{self.number}.\2", text)

    def recorded(self, text):
        return re.sub(rf"\b127\.([123])\.{self.number}\.(\d+)\b", r"20.\1.0.\2", text)


class LinkedRelay:
    """The dispatcher's end of a link: sorts what the relay writes."""

    def __init__(self, wire):
        self.wire = wire
        self.answers = {}  # sequence number -> text
        self.expired = {}  # call_id -> [statistics]
        self.pings = 0
        self.others = collections.deque()

    def sort(self):
        while self.wire.lines:
            line = self.wire.lines.popleft().decode("utf-8", "replace")
            numbered = re.match(r"(\d+) (.*)$", line, re.S)
            report = parse_json(line[8:]) if line.startswith("expired ") else None
            if line == "ping":
                self.pings += 1
            elif numbered and numbered.group(1) not in self.answers:
                self.answers[numbered.group(1)] = numbered.group(2)
            elif report is not None:
                self.expired.setdefault(report["call_id"], []).append(report)
            else:
                self.others.append(line)


class RelayReplay:
    """`start(number, port, plan)` starts our relay `number`, which shall connect to `port`, and returns
    its subprocess. `strays`: lines of notes whose packets the relay shall not count."""

    def __init__(self, steps, start, certificates, strays=(), phones=Phones):
        self.plan, self.ports = AddressPlan(), Ports()
        self.phones = phones(self.plan, self.ports)
        self.findings = []
        self.steps = _with_ends(steps)
        self._start, self._strays = start, strays
        self._context = golden_wire.server_context(certificates)
        self._pump = golden_wire.Pump()
        self._listeners, self._processes, self._relays = {}, {}, {}
        self._asked = {}  # (relay, seq) -> Step
        self._own_seq = FAR_AHEAD
        self._restless = False  # packets were sent since the relay last reported
        self._ended = set()  # relays that were told to end
        self._served = set()  # call_ids that our relay gave ports to
        self._keepalive = sum(step.data == b"ping\r\n" for step in steps) > 3

    def run(self):
        try:
            for step in self.steps:
                getattr(self, "_" + step.kind)(step)
            self._end()
        finally:
            self._pump.close()
            self.phones.close()
            for process in self._processes.values():
                if process.poll() is None:
                    process.kill()
                    process.wait()
        return self.findings

    def _find(self, step, what, theirs, ours):
        self.findings.append(Finding(step.line, what, theirs, ours))

    # the link

    def _relay_connects(self, step):
        number = step.relay
        if number not in self._listeners:
            listener = golden_wire.Listener(self._context)
            self._listeners[number] = self._pump.add(listener)
        listener = self._listeners[number]
        if number not in self._processes or self._processes[number].poll() is not None:
            self._processes[number] = self._start(number, listener.port, self.plan)
        if not self._wait(lambda: listener.accepted, EVENT_LIMIT):
            raise TimeoutError(f"line {step.line}: relay {number} does not connect")
        sock = listener.accepted.popleft()
        version = re.search(r"dispatcher side (\S+)", step.note).group(1)
        if sock.version() != version:
            self._find(step, "TLS", version, sock.version())
        self._relays[number] = LinkedRelay(
            self._pump.add(golden_wire.Wire(sock, f"relay {number}"))
        )
        self._asked = {key: asked for key, asked in self._asked.items() if key[0] != number}

    def _dispatcher_closes(self, step):
        self._relays[step.relay].wire.close()

    def _relay_closes(self, step):
        relay = self._relays[step.relay]
        if not self._wait(lambda: relay.wire.closed, EVENT_LIMIT):
            self._find(step, "link", "closed", "open")

    def _relay_ends(self, step):
        self._processes[step.relay].send_signal(signal.SIGTERM)
        self._ended.add(step.relay)

    def _pong(self, step):
        if self._keepalive and not step.dropped:
            self._relays[step.relay].wire.write(b"pong\r\n")

    def _relay_asked(self, step):
        self._asked[step.relay, step.seq] = step
        if step.dropped:
            return
        if self._restless and step.command in ("sessions", "remove"):
            self._settle(self._relays[step.relay])
        headers = [self._addressed(header) for header in step.headers]
        lines = [f"{step.command} {step.seq}".encode(), *headers, b"", b""]
        self._relays[step.relay].wire.write(b"\r\n".join(lines))

    def _addressed(self, header):
        """The header with addresses and ports of this replay."""
        name, _, value = header.partition(b": ")
        if name == b"media":
            value = re.sub(rb":(\d{4}):(?=[a-z]+)", self._phone_port, value)
        if name in (b"media", b"signaling_ip"):
            value = self.plan.real(value.decode()).encode()
        return name + b": " + value if b": " in header else header

    def _phone_port(self, found):
        return f":{self.phones.real_port(int(found.group(1)))}:".encode()

    # what the relay says

    def _relay_says(self, step):
        relay, text = self._relays[step.relay], self._recorded_text(step)
        numbered = re.match(r"(\d+) (.*)$", text, re.S)
        if text == "ping":
            self._ping(step, relay)
        elif text.startswith("expired "):
            self._expired(step, relay, json.loads(text[8:]))
        elif numbered:
            self._answer(step, relay, *numbered.groups())
        else:
            self._other(step, relay, text)

    @staticmethod
    def _recorded_text(step):
        return step.data.decode("utf-8", "replace").removesuffix("\r\n")

    def _ping(self, step, relay):
        if not self._keepalive:
            return
        if self._wait(lambda: relay.pings, EVENT_LIMIT):
            relay.pings -= 1
        else:
            self._find(step, "ping", "ping", "(nothing)")

    def _other(self, step, relay, text):
        if self._wait(lambda: text in relay.others, 0.2):
            relay.others.remove(text)
        else:
            self._find(step, "line", text, "(nothing)")

    def _expired(self, step, relay, theirs):
        call_id = theirs["call_id"]
        limit = EVENT_LIMIT if call_id in self._served else 0.1
        self._wait(lambda: relay.expired.get(call_id) or relay.wire.closed, limit)
        if not relay.expired.get(call_id):
            self._find(step, "expired", call_id, "(nothing)")
            return
        self._compare_session(step, "expired", theirs, self._masked(relay.expired[call_id].pop(0)))
        self.ports.forget(call_id)

    def _answer(self, step, relay, seq, theirs):
        request = self._asked[step.relay, seq]
        if request.dropped:
            return
        self._wait(lambda: seq in relay.answers or relay.wire.closed, ANSWER_LIMIT)
        if seq not in relay.answers:
            self._find(step, request.command, theirs, "(nothing)")
            return
        ours = relay.answers.pop(seq)
        if request.command == "update":
            self._compare_update(step, request, theirs, self.plan.recorded(ours))
            return
        theirs_value, ours_value = parse_json(theirs), parse_json(ours)
        if theirs_value is None or ours_value is None:
            if theirs != ours:
                self._find(step, request.command, _brief(theirs), _brief(ours))
            return
        self._compare_report(step, request, theirs_value, self._masked(ours_value))

    def _masked(self, value):
        return json.loads(self.plan.recorded(json.dumps(value)))

    def _compare_report(self, step, request, theirs, ours):
        if request.command == "sessions":
            self._compare_sessions(step, theirs, ours)
        elif request.command == "remove":
            self._compare_session(step, "remove", theirs, ours)
            self.ports.forget(theirs["call_id"])
        else:
            for path, one, other in compare_values(theirs, ours):
                self._find(step, f"{request.command} {path}", one, other)

    def _compare_update(self, step, request, theirs, ours):
        call_id = next(
            header.decode()[9:] for header in request.headers if header.startswith(b"call_id: ")
        )
        if re.match(r"[\d.]+ \d", ours):
            self._served.add(call_id)
        if re.match(r"[\d.]+ \d", theirs) and re.match(r"[\d.]+ \d", ours):
            ip, *recorded = theirs.split()
            own_ip, *own = ours.split()
            same = (
                ip == own_ip
                and len(recorded) == len(own)
                and not any(
                    [
                        self.ports.bind(call_id, int(one), int(other))
                        for one, other in zip(recorded, own)
                    ]
                )
            )
            if same:
                return
        elif theirs == ours:
            return
        self._find(step, "update", theirs, self._named(call_id, ours))

    def _named(self, call_id, answer):
        """Our answer with recorded port numbers where one stands for it, else `new`."""
        if not re.match(r"[\d.]+ \d", answer):
            return answer
        ip, *ports = answer.split()
        names = [
            port if port == "0" else str(self.ports.recorded(call_id, int(port)) or "new")
            for port in ports
        ]
        return " ".join([ip, *names])

    def _compare_sessions(self, step, theirs, ours):
        left = {(one["call_id"], one["from_tag"]): one for one in ours}
        for session in theirs:
            other = left.pop((session["call_id"], session["from_tag"]), None)
            if other is None:
                self._find(step, "session", session["call_id"], "(none)")
            else:
                self._compare_session(step, "sessions", session, other)
        for session in left.values():
            self._find(step, "session", "(none)", session["call_id"])

    def _compare_session(self, step, command, theirs, ours):
        call_id = theirs["call_id"]
        pairs = self._paired(step, call_id, theirs["streams"], ours.get("streams", []))
        theirs, ours = dict(theirs, streams=[]), dict(ours, streams=[])
        for path, one, other in compare_values(theirs, ours):
            self._find(step, f"{command} {path}", one, other)
        for stream, other in pairs:
            self._compare_stream(step, call_id, stream, dict(other))

    def _paired(self, step, call_id, theirs, ours):
        """Streams that go together: by known ports, else by media type and order."""
        left, pairs, unknown = list(ours), [], []
        for stream in theirs:
            same = next((one for one in left if self._same_ports(call_id, stream, one)), None)
            if same is None:
                unknown.append(stream)
            else:
                left.remove(same)
                pairs.append((stream, same))
        for stream in unknown:
            same = next((one for one in left if one["media_type"] == stream["media_type"]), None)
            if same is None:
                self._find(step, "stream", f"{stream['media_type']} {stream['status']}", "(none)")
            else:
                left.remove(same)
                pairs.append((stream, same))
        for stream in left:
            self._find(step, "stream", "(none)", f"{stream['media_type']} {stream['status']}")
        return pairs

    def _same_ports(self, call_id, theirs, ours):
        return any(
            self.ports.ours(call_id, _port(theirs[side])) == _port(ours[side])
            for side in ("caller_local", "callee_local")
        )

    def _compare_stream(self, step, call_id, theirs, ours):
        for side in ("caller", "callee"):
            recorded, port = _port(theirs[f"{side}_local"]), _port(ours[f"{side}_local"])
            if self.ports.bind(call_id, recorded, port) is None:
                ours[f"{side}_local"] = theirs[f"{side}_local"]
            ours[f"{side}_remote"] = self.phones.recorded(ours[f"{side}_remote"])
            for unit, sent in zip(("packets", "bytes"), self.phones.sent(recorded)):
                key = f"{side}_{unit}"
                if ours[key] != sent:
                    self._find(step, f"stream {key}", f"(sent) {sent}", str(ours[key]))
                elif ours[key] != theirs[key]:
                    self._find(step, f"stream {key}", str(theirs[key]), "as sent")
        theirs = {key: value for key, value in theirs.items() if key not in COUNTERS}
        for path, one, other in compare_values(theirs, ours):
            self._find(step, f"stream {path}", one, other)

    # notes

    def _note(self, step):
        told = re.match(r"(SIGHUP|kill -9) relay (\d)", step.note)
        ended = re.match(r"relay(\d) exit status: (-?\d+)", step.note)
        if self.phones.act(step.note, step.line not in self._strays):
            self._restless = True
            return
        received = self.phones.received(step.note)
        if received and received[0] != received[1]:
            self._find(step, "received", *received)
        elif told:
            self._tell(told.group(1), int(told.group(2)))
        elif ended:
            self._check_exit(step, int(ended.group(1)), ended.group(2))

    def _tell(self, what, number):
        """Sends a signal to our relay and waits until it had its effect."""
        process = self._processes[number]
        if what == "kill -9":
            process.kill()
            process.wait()
            return
        process.send_signal(signal.SIGHUP)
        self._ask_until(
            self._relays[number], "summary", lambda answer: answer["status"] == "halting"
        )

    def _ask_until(self, relay, command, fits, limit=ANSWER_LIMIT):
        """Asks what no transcript asks until the answer fits, for at most `limit` seconds."""
        end = time.monotonic() + limit
        while time.monotonic() < end and not relay.wire.closed:
            self._own_seq += 1
            seq = str(self._own_seq)
            relay.wire.write(f"{command} {seq}\r\n\r\n".encode())
            self._wait(lambda: seq in relay.answers or relay.wire.closed, limit)
            if seq not in relay.answers or fits(json.loads(relay.answers.pop(seq))):
                return

    def _settle(self, relay):
        """Waits for the packets that are still on their way through the kernel."""
        self._restless = False
        self._ask_until(relay, "sessions", self._counts_all, limit=1.0)

    def _counts_all(self, sessions):
        return all(
            stream[f"{side}_packets"] == self.phones.sent(recorded)[0]
            for session in sessions
            for stream in session["streams"]
            for side in ("caller", "callee")
            if (recorded := self.ports.recorded(session["call_id"], _port(stream[f"{side}_local"])))
        )

    def _check_exit(self, step, number, wanted):
        process = self._processes[number]
        if not self._wait(lambda: process.poll() is not None, 5):
            self._find(step, "exit status", wanted, "(still running)")
        elif str(process.returncode) != wanted:
            self._find(step, "exit status", wanted, str(process.returncode))

    def _end(self):
        """What is still running ends; nothing more may have come."""
        last = self.steps[-1]
        for number, process in self._processes.items():
            if process.poll() is None:
                if number not in self._ended:
                    process.send_signal(signal.SIGTERM)
                self._check_exit(last, number, "0")
        for relay in self._relays.values():
            for line in relay.others:
                self._find(last, "line", "(nothing)", _brief(line))
            for seq, text in relay.answers.items():
                self._find(last, "second answer", "(nothing)", f"{seq} {_brief(text)}")
            for call_id, reports in relay.expired.items():
                for _ in reports:
                    self._find(last, "expired", "(nothing)", call_id)

    def _ignored(self, _step):
        """Between the dispatcher and others than its relays."""

    _proxy_writes = _proxy_reads = _management_writes = _management_reads = _ignored
    _dialog_end = _dialog_answer = _row = _ignored

    def _wait(self, condition, limit):
        def sorted_condition():
            for relay in self._relays.values():
                relay.sort()
                if relay.pings and not self._keepalive:
                    relay.pings = 0
                    relay.wire.write(b"pong\r\n")
            return condition()

        return self._pump.wait(sorted_condition, limit)


def _with_ends(steps):
    """The recorder ended each relay with SIGTERM at last: a step for that, before the farewell."""
    steps = list(steps)
    for number in {step.relay for step in steps if step.kind == "relay_connects"}:
        mine = [step for step in steps if step.relay == number]
        last = next(step for step in reversed(mine) if step.kind == "relay_connects")
        closes = [step for step in mine[mine.index(last) :] if step.kind.endswith("_closes")]
        drained = any(step.note.startswith(f"SIGHUP relay {number}") for step in steps)
        if not closes or closes[0].kind != "relay_closes" or drained:
            continue
        index = steps.index(closes[0])
        while _is_farewell(steps[index - 1], closes[0]):
            index -= 1
        steps.insert(index, Step(steps[index].line, steps[index].time, "relay_ends", relay=number))
    return steps


def _is_farewell(step, close):
    return (
        step.kind == "relay_says"
        and step.relay == close.relay
        and step.data.startswith(b"expired ")
        and step.time > close.time - 0.1
    )


def _port(endpoint):
    return int(endpoint.rsplit(":", 1)[1])


def _brief(text):
    return text if len(text) < 200 else text[:120] + f"...({len(text)} characters)"
