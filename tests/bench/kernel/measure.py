#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a forwarded packet costs, how late it is, and how many calls can be set up meanwhile.

Cost is the time that the relay's two NAPI threads and the relay's process run, divided by the packets
that leave the relay: everything from the driver's poll to the transmission. A thread that wakes up
costs as much as several packets, so cost depends on how many packets arrive at once: it is measured
with streams as even as the sending processor can keep them, and with bunched ones. (What a card's
interrupt moderation does to even streams is to bunch them.)

In a virtual machine another guest may run on the second hardware thread of the relay's core, and take
half of its cache: then ip_forward costs a fifth more, and what looks each stream up half as much again.
Costs are measured while the core is the relay's own, as far as PATIENCE goes; core_share.cpp tells.
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
EVEN, BUNCHED = 200, 1000  # microseconds between two bursts of what is due by then
COSTS = ("us", "bunched_us")
SHARED = 2.2  # of what core_share prints
PATIENCE = 600  # seconds of one run that may be lost to a shared core


class Measurement:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.raw_load = options.build / "tests/bench/kernel/raw_load"
        self._core_share = options.build / "tests/bench/kernel/core_share"
        self._patience = PATIENCE
        self.disturbed = {"repeated": 0, "taken": 0}
        self.ground = grounds.Ground()
        self.techniques = [technique for technique in techniques.all_of(self.ground, folder)
                           if not options.only or technique.name in options.only.split(",")]

    def _send(self, name, streams, side, seconds, rate=RATE, burst=EVEN):
        """Starts the phones of one side: 1 for the callers, 3 for the callees."""
        plan = self.folder / f"{name}.streams"
        plan.write_text("".join("{} {} {} {}\n".format(*s[side], *s[side + 1]) for s in streams),
                        encoding="ascii")
        return subprocess.Popen(
            ["taskset", "-c", str(grounds.OTHERS_CPU), str(self.raw_load), f"/run/netns/{name}",
             str(plan), str(rate * len(streams)), str(seconds), str(burst)],
            stdout=subprocess.PIPE, text=True)

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
        even, relayed = self._cost(technique, streams, EVEN)
        bunched, _ = self._cost(technique, streams, BUNCHED)
        return {"us": even, "bunched_us": bunched, "relayed": relayed}

    def _cost(self, technique, streams, burst):
        """Microseconds of CPU a packet, and which part of the packets was relayed."""
        seconds = self.options.seconds
        sender = self._send("alice", streams, 1, seconds + 1, burst=burst)
        time.sleep(0.6)
        begin = self._look(technique)
        time.sleep(seconds)
        end = self._look(technique)
        self._sent(sender)
        ns, packets = end[0] - begin[0], end[1] - begin[1]
        expected = RATE * len(streams) * (end[2] - begin[2])
        return ns / 1000 / packets, packets / expected

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

    def _run(self, technique, count, measure):
        streams = technique.start(count)
        for pid in technique.pids:
            grounds.pin(pid, grounds.RELAY_CPU)
        self._introduce(technique, streams)
        result = measure(technique, streams)
        technique.stop()
        return result

    def _latency_round(self):
        return {technique.name: self._run(technique, 200, self.latency)
                for technique in self.techniques}

    def _core_is_shared(self):
        told = subprocess.run(["taskset", "-c", str(grounds.RELAY_CPU), str(self._core_share)],
                              stdout=subprocess.PIPE, check=True, text=True).stdout
        return float(told) > SHARED

    def _await_core(self):
        """Waits until the core is the relay's own; whether that was necessary."""
        waited = False
        while self._patience > 0 and self._core_is_shared():
            waited = True
            time.sleep(1)
            self._patience -= 1
        return waited

    def _costs_of(self, these):
        """Costs of techniques in turn, and whether the core was shared meanwhile."""
        costs, shared = [], False
        for technique in these:
            costs.append(self._run(technique, self.options.streams, self.cost))
            shared = self._core_is_shared() or shared
        return costs, shared

    def _costs_between(self, base, technique, before):
        """Costs of `base` before it (given or None), of `technique`, and of `base` after it."""
        while True:
            if self._await_core():
                before = None
            start = time.monotonic()
            costs, shared = self._costs_of([technique, base] if before else [base, technique, base])
            if not shared or self._patience <= 0:
                self.disturbed["taken"] += shared
                return [before, *costs] if before else costs
            self.disturbed["repeated"] += 1
            self._patience -= time.monotonic() - start
            before = None

    def _cost_round(self):
        """Every technique once, and plain routing before and after each of them.

        The speed of the machine changes within seconds: what is a multiple of plain routing is
        compared with the mean of those two.
        """
        base, *others = self.techniques
        if not others or not isinstance(base, techniques.Routing):
            costs, _ = self._costs_of(self.techniques)
            return {technique.name: cost for technique, cost in zip(self.techniques, costs)}
        after, bases, results = None, [], {}
        for technique in others:
            before, cost, after = self._costs_between(base, technique, after)
            for key in COSTS:
                around = statistics.mean((before[key], after[key]))
                cost[key.replace("us", "x_ip_forward")] = cost[key] / around
            results[technique.name] = cost
            bases += [before, after]
        means = {key: statistics.mean(each[key] for each in bases) for key in bases[0]}
        means.update((key.replace("us", "x_ip_forward"), 1) for key in COSTS)
        return {base.name: means, **results}

    @staticmethod
    def _rounds(number, measure):
        done = []
        for i in range(number):
            done.append(measure())
            print(f"  round {i + 1} of {number}: " + "; ".join(
                f"{name} " + " ".join(f"{value:.2f}" for value in result.values())
                for name, result in done[-1].items()), file=sys.stderr, flush=True)
        return done

    def costs(self):
        """Medians of each technique; what is compared is compared within a round."""
        rounds = self._rounds(self.options.rounds, self._cost_round)
        rows = medians(rounds)
        for name, row in rows.items():
            for key in COSTS if "rtpengine" in rows else ():
                # By way of plain routing, which was measured next to each of them.
                via = key.replace("us", "x_ip_forward")
                via = via if via in row and via in rows["rtpengine"] else key
                row[key.replace("us", "x_rtpengine")] = statistics.median(
                    r[name][via] / r["rtpengine"][via] for r in rounds)
        return rows

    def latencies(self):
        return medians(self._rounds(min(3, self.options.rounds), self._latency_round))

    def setup(self):
        """Set-up cycles a second, with a packet each way in every call, and without."""
        rows, place = [], self.ground.place
        self.ground.sink(False)
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
        """What looking at everything does to the core thread, milliseconds.

        The longest turn of its loop, in time (which it shares with the phones and those who ask) and
        in CPU time, and the longest that another request waited.
        """
        rows = []
        for technique in self.techniques:
            if not isinstance(technique, techniques.Ours):
                continue
            turns = techniques.LoopTurns(self.options.build / "tests/bench/kernel/loop_turns.so",
                                         self.folder)
            streams = technique.start(self.options.many, turns.wrapper)
            self._introduce(technique, streams)
            for asked in ("nothing", "summary", "sessions"):
                with technique.being_asked(asked):
                    turns.reset()
                    waited = technique.longest_wait(self.options.seconds)
                    turn, cpu = turns.longest()
                rows.append({"technique": technique.name, "calls": len(streams), "asked": asked,
                             "cpu_ms": cpu, "turn_ms": turn, "wait_ms": waited})
            technique.stop()
        return rows


def medians(rounds):
    return {name: {key: statistics.median(r[name][key] for r in rounds) for key in values}
            for name, values in rounds[0].items()}


def show(cost, latency, setup, looking):
    nothing = float("nan")
    for title, prefix in ((f"even streams, {EVEN} us", ""), (f"bunched, {BUNCHED} us", "bunched_")):
        print(f"\n{title:24} {'us a packet':>12} {'x ip_forward':>13} {'x cheaper than rtpengine':>25}")
        for name, row in cost.items():
            print(f"{name:24} {row[prefix + 'us']:12.2f}"
                  f" {row.get(prefix + 'x_ip_forward', nothing):13.2f}"
                  f" {1 / row.get(prefix + 'x_rtpengine', nothing):25.2f}")
    print("\n* without udp_early_demux, which nftables and conntrack turn off")
    print(f"\n{'':24} {'relayed':>8} {'p50 us':>7} {'p99 us':>7} {'lost':>5}")
    for name, row in cost.items():
        late = latency[name]
        print(f"{name:24} {row['relayed']:8.3f}"
              f" {late['p50_us']:7.0f} {late['p99_us']:7.0f} {late['lost']:5.0f}")
    print(f"\n{'cycles a second':15} {'without media':>14} {'with media':>11}")
    for row in setup:
        print(f"{row['technique']:15} {row['without_media']:14.0f} {row['with_media']:11.0f}")

    print(f"\n{'core thread, ms':17} {'calls':>6} {'asked for':>10} {'most CPU of a turn':>19}"
          f" {'longest turn':>13} {'longest wait':>13}")
    for row in looking:
        print(f"{row['technique']:17} {row['calls']:6} {row['asked']:>10} {row['cpu_ms']:19.1f}"
              f" {row['turn_ms']:13.1f} {row['wait_ms']:13.1f}")


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
        cost = measurement.costs()
        print("latency one way, 200 streams both ways", file=sys.stderr)
        latency = measurement.latencies()
        setup = measurement.setup()
        looking = measurement.looking()
    finally:
        measurement.ground.place.close()
    shutil.rmtree(folder, ignore_errors=True)
    options.json.write_text(json.dumps({
        "cost": cost, "disturbed": measurement.disturbed, "latency": latency, "setup": setup,
        "looking": looking}, indent=2))
    show(cost, latency, setup, looking)
    print("\nThe relay's core seemed shared with another guest of the host: {repeated} costs were"
          " measured again, {taken} are of such a time.".format(**measurement.disturbed))


if __name__ == "__main__":
    main()
