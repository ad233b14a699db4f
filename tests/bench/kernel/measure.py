#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a forwarded packet costs, how late it is, and how many calls can be set up meanwhile.

Cost is the time that the relay's two NAPI threads and the relay's process run, divided by the packets
that leave the relay: everything from the driver's poll to the transmission.
"""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TESTS = HERE.parent.parent
sys.path[:0] = [str(HERE.parent), str(TESTS / "integration"), str(TESTS / "netns")]
sys.dont_write_bytecode = True

from house import await_true  # noqa: E402
from kernel import ground as grounds  # noqa: E402
from kernel import techniques  # noqa: E402
from lab import daemon  # noqa: E402
from wire import load  # noqa: E402

RATE = 50  # packets a second of a stream
SLOW_RATE = 5  # the same while flows are learned: nothing may be left waiting in a queue


class Measurement:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.raw_load = options.build / "tests/bench/kernel/raw_load"
        self.ground = grounds.Ground()
        self.techniques = [technique for technique in techniques.all_of(self.ground, folder)
                           if not options.only or technique.name in options.only.split(",")]

    def _send(self, name, streams, side, seconds, rate=RATE):
        """Starts the phones of one side: 1 for the callers, 3 for the callees."""
        plan = self.folder / f"{name}.streams"
        plan.write_text("".join("{} {} {} {}\n".format(*s[side], *s[side + 1]) for s in streams),
                        encoding="ascii")
        return subprocess.Popen(
            ["taskset", "-c", str(grounds.OTHERS_CPU), str(self.raw_load), f"/run/netns/{name}",
             str(plan), str(rate * len(streams)), str(seconds)], stdout=subprocess.PIPE, text=True)

    @staticmethod
    def _sent(sender):
        out, _ = sender.communicate()
        if sender.returncode != 0:
            raise SystemExit("raw_load failed")
        return json.loads(out)["sent"]

    def _introduce(self, technique, streams):
        """Both sides speak, slowly, until the relay has learned them all."""
        self.ground.sink(True)
        deadline = time.monotonic() + 30
        while True:
            senders = [self._send("alice", streams, 1, 1, SLOW_RATE),
                       self._send("bob", streams, 3, 1, SLOW_RATE)]
            for sender in senders:
                self._sent(sender)
            if technique.ready():
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"{technique.name}: not all flows are where they belong")

    def cost(self, technique, streams):
        seconds = self.options.seconds
        sender = self._send("alice", streams, 1, seconds + 1)
        time.sleep(0.6)
        begin = self._look(technique)
        time.sleep(seconds)
        end = self._look(technique)
        self._sent(sender)
        ns, packets = end[0] - begin[0], end[1] - begin[1]
        expected = RATE * len(streams) * (end[2] - begin[2])
        return {"us": ns / 1000 / packets, "relayed": packets / expected}

    def _look(self, technique):
        ns = self.ground.kernel_ns() + sum(grounds.cpu_ns(pid) for pid in technique.pids)
        return ns, self.ground.left_for_bob(), time.monotonic()

    def latency(self, technique, streams):
        """One way, microseconds, of streams in both directions."""
        self.ground.sink(False)
        phones = load.Load(self.folder, RATE)
        try:
            phones.add("{} rtp {} {} {} {} {} {} {} {}".format(s[0], *s[1], *s[2], *s[3], *s[4])
                       for s in streams)
            phones.start()
            time.sleep(self.options.seconds)
            phones.pause()
            answer = phones.report().answer
        finally:
            phones.close()
        lost = sum(stream[side]["lost"] for stream in answer["streams"] for side in load.SIDES)
        return {"p50_us": answer["latency_us"]["p50"], "p99_us": answer["latency_us"]["p99"],
                "lost": lost}

    def round(self, count, measure, microseconds):
        """Every technique once, back to back."""
        results = {}
        for technique in self.techniques:
            streams = technique.start(count)
            for pid in technique.pids:
                grounds.pin(pid, grounds.RELAY_CPU)
            self.ground.moderate(0)
            self._introduce(technique, streams)
            self.ground.moderate(microseconds)
            results[technique.name] = measure(technique, streams)
            technique.stop()
        return results

    def rounds(self, number, *what):
        done = []
        for i in range(number):
            done.append(self.round(*what))
            print(f"  round {i + 1} of {number}: " + "; ".join(
                f"{name} " + " ".join(f"{value:.2f}" for value in result.values())
                for name, result in done[-1].items()), file=sys.stderr, flush=True)
        return {name: {key: statistics.median(r[name][key] for r in done) for key in values}
                for name, values in done[0].items()}

    def setup(self):
        """Set-up cycles a second, with a packet each way in every call, and without."""
        rows, place = [], self.ground.place
        self.ground.sink(False)
        self.ground.moderate(0)
        for technique in self.techniques:
            if not isinstance(technique, techniques.Ours):
                continue
            technique.start(0)
            words = [self.options.build / "tests/bench/control/bench_calls",
                     technique.control_socket, "8", self.options.seconds,
                     "/run/netns/alice", place.alice[4], "/run/netns/bob", place.bob[4]]
            row = {"technique": technique.name}
            for key, more in (("without_media", ["silent"]), ("with_media", [])):
                done = subprocess.run([str(word) for word in words + more], stdout=subprocess.PIPE,
                                      check=True)
                row[key] = json.loads(done.stdout)["cycles_per_s"]
            technique.stop()
            rows.append(row)
        return rows


    def looking(self):
        """The longest that another request waits while everything is looked at, milliseconds."""
        rows = []
        for technique in self.techniques:
            if not isinstance(technique, techniques.Ours):
                continue
            streams = technique.start(self.options.many)
            self.ground.moderate(0)
            self._introduce(technique, streams)
            row = {"technique": technique.name, "calls": len(streams)}
            row["quiet_ms"] = technique.longest_wait(self.options.seconds)
            with technique.being_asked("summary"):
                row["summary_ms"] = technique.longest_wait(self.options.seconds)
            with technique.being_asked("sessions"):
                row["sessions_ms"] = technique.longest_wait(self.options.seconds)
            technique.stop()
            rows.append(row)
        return rows


def show(cost, latency, setup, looking):
    base, peer = (cost.get(name, {}).get("us", float("nan")) for name in ("ip_forward", "rtpengine"))
    print(f"\n{'':12} {'us a packet':>12} {'x ip_forward':>13} {'x cheaper than rtpengine':>25}"
          f" {'relayed':>8} {'p50 us':>7} {'p99 us':>7} {'lost':>5}")
    for name, row in cost.items():
        late = latency[name]
        print(f"{name:12} {row['us']:12.2f} {row['us'] / base:13.2f} {peer / row['us']:25.2f}"
              f" {row['relayed']:8.3f} {late['p50_us']:7.0f} {late['p99_us']:7.0f} {late['lost']:5.0f}")
    print(f"\n{'cycles a second':15} {'without media':>14} {'with media':>11}")
    for row in setup:
        print(f"{row['technique']:15} {row['without_media']:14.0f} {row['with_media']:11.0f}")


    print(f"\n{'longest wait, ms':17} {'calls':>6} {'quiet':>7} {'summary':>8} {'sessions':>9}")
    for row in looking:
        print(f"{row['technique']:17} {row['calls']:6} {row['quiet_ms']:7.1f}"
              f" {row['summary_ms']:8.1f} {row['sessions_ms']:9.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--streams", type=int, default=2000)
    parser.add_argument("--many", type=int, default=4000, help="calls that are looked at")
    parser.add_argument("--only", help="names of techniques, comma between them (default: all)")
    parser.add_argument("--json", type=pathlib.Path, required=True)
    options = parser.parse_args()
    grounds.isolate()
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    options.build = options.build.resolve()
    daemon.EXECUTABLE = options.build / "src/mediaproxyd"
    daemon.PLUGINS = options.build / "plugins"
    load.EXECUTABLE = options.build / "tests/netns/media_load"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mediaproxyd-bench-"))
    measurement = Measurement(options, folder)
    try:
        print(f"CPU a packet, {options.streams} streams x {RATE} packets/s one way", file=sys.stderr)
        cost = measurement.rounds(options.rounds, options.streams, measurement.cost, 400)
        print("latency one way, 200 streams both ways", file=sys.stderr)
        latency = measurement.rounds(min(3, options.rounds), 200, measurement.latency, 0)
        setup = measurement.setup()
        looking = measurement.looking()
    finally:
        measurement.ground.place.close()
    shutil.rmtree(folder, ignore_errors=True)
    options.json.write_text(json.dumps({
        "cost": cost, "latency": latency, "setup": setup, "looking": looking}, indent=2))
    show(cost, latency, setup, looking)


if __name__ == "__main__":
    main()
