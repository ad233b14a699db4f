# SPDX-License-Identifier: GPL-2.0-or-later
"""media_load, the phones: started, told what to do, and judged."""
import json
import select
import subprocess

from lab.daemon import until

EXECUTABLE = None  # set by the runner
GENTLY = False  # by the runner too: send a tenth
PATIENCE = 20  # seconds that an answer may take
PACKET = 172  # bytes of payload
HEADERS = {4: 28, 6: 48}  # of IP and UDP
SIDES = ("caller", "callee")


class Load:
    """Phones of alice, who calls, and of bob; every packet of theirs is counted."""

    def __init__(self, folder, rate=50):
        self.folder, self._plans = folder, 0
        self.rate = max(rate // 10, 5) if GENTLY else rate  # packets a second of each phone
        self._slower = rate / self.rate
        self._process = subprocess.Popen(
            [
                str(EXECUTABLE),
                *("--caller-netns", "/run/netns/alice"),
                *("--callee-netns", "/run/netns/bob"),
                *("--rate", str(self.rate)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def until_sent(self, total, patience):
        """Waits until all phones together have sent more than that; longer where they send gently."""
        until(
            lambda: self.report().total("sent") > total,
            patience * self._slower,
            "they do not send",
        )

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def _ask(self, command):
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            raise AssertionError(f"media_load does not answer to {command!r}")
        line = self._process.stdout.readline()
        if not line:
            raise AssertionError(f"media_load ended at {command!r}")
        return json.loads(line)

    def add(self, lines):
        """Phones: `ID rtp|rtcp` and four times `ADDRESS PORT`, see media_load."""
        self._plans += 1
        plan = self.folder / f"streams-{self._plans}"
        plan.write_text("".join(line + "\n" for line in lines), encoding="ascii")
        self._ask(f"streams {plan}")

    def start(self, who="both"):
        self._ask(f"start {who}")

    def pause(self):
        """They are silent, and what they said has arrived or never will."""
        self._ask("pause")

    def report(self):
        return Report(self._ask("report"))


class Report:
    """What became of all packets."""

    def __init__(self, answer):
        self.answer = answer
        self.streams = {stream["id"]: stream for stream in answer["streams"]}

    def total(self, what):
        return sum(stream[side][what] for stream in self.streams.values() for side in SIDES)

    def complaints(self, reordering=True):
        """Sentences about everything that is not as it should be.

        With `reordering`, one packet in fifty may be overtaken: those that wait for the daemon at a
        handover, which are more when the machine is busy.
        """
        found = []
        for what in ("lost", "duplicated", "wrong_source", "corrupted", "foreign"):
            bad = [
                (number, side, stream[side])
                for number, stream in self.streams.items()
                for side in SIDES
                if stream[side][what]
            ]
            if bad:
                number, side, tally = bad[0]
                found.append(
                    f"{sum(tally[what] for _, _, tally in bad)} {what} in {len(bad)} directions,"
                    f" e.g. of the {side} of stream {number}: {tally}"
                )
        if reordering and self.total("reordered") > self.total("sent") // 50:
            found.append(f"{self.total('reordered')} of {self.total('sent')} out of order")
        for side, dropped in self.answer["dropped"].items():
            found += [f"{count} {what} at the {side}" for what, count in dropped.items() if count]
        return found
