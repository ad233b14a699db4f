#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Soak: many call cycles, after which descriptors, ports and memory are where they began.

The first half warms the daemon up (sockets are kept for reuse, tables find their size); what is
compared is the state after it and after all. A removed call is remembered for 32 s, lest a retransmitted 200
should bring it back, and the id of its record for two minutes, so memory is given four to come down. Every
call is accounted in SQLite, and every row is counted.
"""
import argparse
import json
import pathlib
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from house import House, await_true  # noqa: E402

SLACK = 4 << 20  # bytes: what an allocator keeps; 80 bytes a call of the second half


def rows(house):
    with sqlite3.connect(f"file:{house.database}?mode=ro", uri=True) as database:
        return database.execute("SELECT count(*) FROM media_sessions").fetchone()[0]


def cycle(tool, house, count):
    done = subprocess.run([tool, "count", str(house.socket), "8", str(count)],
                          stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)["cycles"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--cycles", type=int, default=100000)
    options = parser.parse_args()
    tool = options.build.resolve() / "tests/bench/control/bench_control"
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mediaproxyd-soak-"))
    house = House(folder / "soak", options.build, split=True, accounting={"sqlite": {}})
    done = cycle(tool, house, options.cycles // 2)
    await_true(lambda: rows(house) == done, 60, f"{rows(house)} rows for {done} calls")
    before = house.descriptors(), house.resident()
    done += cycle(tool, house, options.cycles - done)
    await_true(lambda: rows(house) == done, 120, f"{rows(house)} rows for {done} calls")
    settled = before[1] + SLACK
    deadline = time.monotonic() + 240
    while house.resident() > settled and time.monotonic() < deadline:
        time.sleep(1)
    after = house.descriptors(), house.resident()
    sessions = house.ask("sessions").count("call_id")
    house.stop()
    problems = []
    # A reserve of sockets may breathe by a few; a leak of one a call would be tens of thousands.
    if any(now > then + 64 for then, now in zip(before[0], after[0])):
        problems.append(f"descriptors went from {before[0]} to {after[0]}")
    if after[1] > settled:
        problems.append(f"memory went from {before[1] >> 10} to {after[1] >> 10} kB")
    if sessions:
        problems.append(f"{sessions} sessions are left")
    print(f"{done} calls, {done} rows; descriptors {before[0]} -> {after[0]}, "
          f"memory {before[1] >> 10} -> {after[1] >> 10} kB, {sessions} sessions left")
    for problem in problems:
        print(f"soak: {problem}")
    if not problems:
        shutil.rmtree(folder, ignore_errors=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
