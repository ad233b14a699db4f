#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Benchmarks: what the control path, accounting, forwarding, memory and `sessions` cost, beside peers.

Every figure stands beside one of the same run: a null server that only answers, or a naive
recvfrom/sendto loop. Processes are placed by the scheduler unless a row says otherwise.
"""
import argparse
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
import accounting  # noqa: E402
from house import House, Process, await_true  # noqa: E402

# MediaProxy 4.1 on a machine of this kind.
MEDIAPROXY = {"cycles": {1: 615, 8: 1407}, "p99_us": {1: 950, 8: 3800}, "sessions_ms": 113,
              "memory_kb": 51 * 1024, "memory_per_session_kb": 11}


def control(tool, socket, connections, seconds):
    done = subprocess.run([tool, "cycles", str(socket), str(connections), str(seconds)],
                          stdout=subprocess.PIPE, check=False)
    return json.loads(done.stdout)


def measure_control(options, folder, tool):
    """Rounds of all variants back to back; the median of the rounds."""
    null_socket = folder / "null.sock"
    null = Process([tool, "null", null_socket], folder / "null.log")
    await_true(null_socket.exists, 5, "the null server did not start")
    houses = {"one process": House(folder / "one", options.build, split=False),
              "split over TLS": House(folder / "split", options.build, split=True)}
    sockets = {"null server": null_socket, **{name: h.socket for name, h in houses.items()}}
    rows = []
    for connections in (1, 8, 32):
        rounds = {name: [] for name in sockets}
        for _ in range(options.rounds):
            for name, socket in sockets.items():
                rounds[name].append(control(tool, socket, connections, options.seconds))
        for name, results in rounds.items():
            rows.append({
                "variant": name, "connections": connections,
                **{key: statistics.median(r[key] for r in results)
                   for key in ("cycles_per_s", "p50_us", "p99_us")},
                "errors": sum(r["errors"] for r in results)})
    for house in houses.values():
        house.stop()
    null.stop()
    for row in rows:
        peer = next(r for r in rows if r["variant"] == "null server"
                    and r["connections"] == row["connections"])
        row["of_null"] = row["cycles_per_s"] / peer["cycles_per_s"]
        theirs = MEDIAPROXY["cycles"].get(row["connections"])
        row["x_mediaproxy"] = row["cycles_per_s"] / theirs if theirs else None
    return rows


def measure_memory(options, folder, tool):
    """Resident memory (proportional set) at 0, 500 and 2000 sessions, and the time of `sessions`."""
    house = House(folder / "hold", options.build, split=False)
    rows, held = [], 0
    empty = house.resident()
    for sessions in (0, 500, 2000):
        subprocess.run([tool, "hold", str(house.socket), str(sessions - held), str(held)],
                       stdout=subprocess.DEVNULL, check=True)
        time.sleep(0.3)  # what so many at once have taken for a moment is given back
        held = sessions
        resident = house.resident()
        rows.append({"sessions": sessions, "resident_kb": resident / 1024,
                     "per_session_kb": (resident - empty) / 1024 / sessions if sessions else None})
    times = []
    for _ in range(7):
        begin = time.perf_counter()
        size = house.receive("sessions")
        times.append((time.perf_counter() - begin) * 1000)
        lines = house.answer[:size].count(b"\r\n") - 1
        if lines != held:
            raise SystemExit(f"`sessions` gave {lines} lines for {held} sessions")
    house.stop()
    return rows, {"sessions": held, "ms": statistics.median(times)}


def measure_forwarding(options, folder):
    result = folder / "forwarding.json"
    subprocess.run([options.build / "tests/bench/forwarding/bench_forwarding",
                    "--plugin", options.build / "plugins/forwarding_userspace.so",
                    "--json", result, "--seconds", str(options.seconds),
                    "--streams", "1,100,1000,4000"], check=True)
    return json.loads(result.read_text())


def measure_installs(options):
    """CPU a call to install and remove its flow, one at a time and in bursts of 20 and of 64.

    In a realtime thread also: there the kernel's worker, which frees what was removed, waits.
    """
    rows = []
    for name in ("nftables", "conntrack"):
        plugin = options.build / f"plugins/forwarding_{name}.so"
        if os.geteuid() != 0 or not plugin.exists():
            continue
        command = ["unshare", "--net", options.build / "tests/bench/forwarding/install_cost", plugin]
        runs = [json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
                for _ in range(7)]
        for operation in ("install", "remove"):
            row = {"back_end": name, "operation": operation}
            for thread in ("", "realtime_"):
                for calls in (1, 20, 64):
                    values = [run.get(f"{thread}{operation}_{calls}_us", math.nan) for run in runs]
                    row[f"{thread}{calls}_us"] = statistics.median(values)
            rows.append(row)
    return rows


def measure_kernel(options, folder):
    """Each back end beside plain routing and rtpengine, in namespaces."""
    result = folder / "kernel.json"
    if os.geteuid() != 0:
        print("\nCPU a packet beside ip_forward and rtpengine: needs root, not measured")
        return None
    subprocess.run([sys.executable, HERE / "kernel/measure.py", "--build", options.build,
                    "--json", result], check=True)
    return json.loads(result.read_text())


def show(title, rows, columns):
    print(f"\n{title}")
    print("  " + "  ".join(f"{name:>{width}}" for name, width, _ in columns))
    for row in rows:
        cells = []
        for name, width, form in columns:
            value = row.get(name)
            cells.append(f"{'-' if value is None else format(value, form):>{width}}")
        print("  " + "  ".join(cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("only", nargs="?", choices=("control", "accounting", "memory", "forwarding"),
                        help="this part alone")
    options = parser.parse_args()
    options.build = options.build.resolve()
    tool = options.build / "tests/bench/control/bench_control"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mediaproxyd-bench-"))
    report = {"mediaproxy_4_1": MEDIAPROXY}
    try:
        if options.only in (None, "control"):
            report["control"] = measure_control(options, folder, tool)
            show("Set-up cycles (update, update, remove) a second; no accounting, state store on",
                 report["control"],
                 [("variant", 16, ""), ("connections", 11, ""), ("cycles_per_s", 12, ".0f"),
                  ("of_null", 8, ".2f"), ("x_mediaproxy", 12, ".1f"), ("p50_us", 8, ".0f"),
                  ("p99_us", 8, ".0f"), ("errors", 6, "")])
        if options.only in (None, "accounting"):
            report["accounting"] = accounting.measure(options, folder, tool)
            show(f"Accounting: at {accounting.RATE} cycles/s offered on {accounting.CONNECTIONS} "
                 f"connections (goal: p99 at most 1.5 times that without), and flat out on "
                 f"{accounting.FLAT_OUT_CONNECTIONS} (goal: 0.4 of the rate, empty within 60 s)",
                 report["accounting"],
                 [("variant", 14, ""), ("realtime", 8, ""), ("p50_us", 8, ".0f"), ("p99_us", 8, ".0f"),
                  ("p99_of_without", 14, ".2f"), ("delayed", 8, ""), ("flat_out", 9, ".0f"),
                  ("rate_of_without", 15, ".2f"), ("emptied_s", 10, ".1f"), ("records", 8, "")])
        if options.only in (None, "memory"):
            report["memory"], report["sessions"] = measure_memory(options, folder, tool)
            show("Memory, both roles in one process (MediaProxy 4.1: 51 MB and 11 kB a session)",
                 report["memory"], [("sessions", 8, ""), ("resident_kb", 12, ".0f"),
                                    ("per_session_kb", 14, ".2f")])
            print(f"\n`sessions` at {report['sessions']['sessions']} sessions: "
                  f"{report['sessions']['ms']:.1f} ms (MediaProxy 4.1: 113 ms)")
        if options.only in (None, "forwarding"):
            report["forwarding"] = measure_forwarding(options, folder)
            report["installs"] = measure_installs(options)
            show("CPU a call, microseconds, alone and in bursts, and where the kernel's own worker "
                 "interrupts nothing (goals: nftables install 12 alone and 6 in a burst, remove 3; "
                 "conntrack 25, 12 and 12)",
                 report["installs"],
                 [("back_end", 10, ""), ("operation", 9, ""), ("1_us", 6, ".1f"),
                  ("20_us", 6, ".2f"), ("64_us", 6, ".2f"), ("realtime_1_us", 13, ".1f"),
                  ("realtime_20_us", 14, ".2f"), ("realtime_64_us", 14, ".2f")])
            report["kernel"] = measure_kernel(options, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    (options.build / "bench.json").write_text(json.dumps(report, indent=2) + "\n")
    print(f"\n{options.build / 'bench.json'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
