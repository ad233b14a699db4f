# SPDX-License-Identifier: GPL-2.0-or-later
"""What accounting costs: beside no accounting, in the same run, rounds of all variants in turn.

With two CPUs the database server, which a site would have on another host, is a neighbour of the
daemon and of the load, and makes either wait until its turn is over. So latency is measured twice: as
the scheduler pleases, and with `realtime = true` and the load as realtime as the daemon, which is
what accounting itself does to latency.
"""
import json
import os
import pathlib
import sqlite3
import statistics
import subprocess
import sys
import time

from house import House

HERE = pathlib.Path(__file__).resolve().parent
LAB = HERE.parent / "integration"
RATE, CONNECTIONS = 2000, 32
FLAT_OUT_CONNECTIONS = 8


def load(tool, *words):
    done = subprocess.run([str(word) for word in (tool, *words)], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def waiting(house):
    """Records that no back end has taken yet."""
    objects = [json.loads(line) for line in house.ask("accounting").split("\r\n") if line]
    return sum(one.get("waiting", 0) for one in objects)


def await_empty(house, seconds=120):
    """How long it took until nothing waits for a back end."""
    begin = time.monotonic()
    quiet = 0
    while quiet < 3:  # its figures are half a second old
        if time.monotonic() - begin > seconds:
            raise SystemExit(f"{waiting(house)} records still wait after {seconds} s")
        quiet = quiet + 1 if waiting(house) == 0 else 0
        time.sleep(0.3)
    return time.monotonic() - begin


def mariadb(build):
    """A server of the tests' own, and its settings; nothing where the plugin or the server is not."""
    if not (build / "plugins/accounting_mysql.so").exists():
        return None
    if not (LAB / "lab/mariadb.py").exists():
        return None
    sys.path.insert(0, str(LAB))
    from lab.mariadb import MariaDB
    return MariaDB()


class Variant:
    def __init__(self, name, folder, build, accounting, realtime):
        self.name, self.realtime = name, realtime
        self.house = House(folder, build, split=False, accounting=accounting, realtime=realtime)
        self.accounts = bool(accounting)
        self.offered, self.flat_out, self.emptied, self.records = [], [], [], 0

    def offer(self, tool, seconds):
        scheduled = ["chrt", "-r", "1"] if self.realtime else []
        self.offered.append(
            load(*scheduled, tool, "offered", self.house.socket, CONNECTIONS, seconds, RATE))
        self.finish(self.offered[-1])

    def run_flat_out(self, tool, seconds):
        self.flat_out.append(load(tool, "cycles", self.house.socket, FLAT_OUT_CONNECTIONS, seconds))
        self.finish(self.flat_out[-1], self.emptied)

    def finish(self, result, emptied=None):
        self.records += result["cycles"]
        if self.accounts:
            took = await_empty(self.house)
            if emptied is not None:
                emptied.append(took)

    def row(self):
        def middle(results, key):
            return statistics.median(one[key] for one in results) if results else None
        return {"variant": self.name, "realtime": self.realtime, "p50_us": middle(self.offered, "p50_us"),
                "p99_us": middle(self.offered, "p99_us"),
                "offered_got": middle(self.offered, "cycles_per_s"),
                "delayed": sum(one["delayed"] for one in self.offered),
                "flat_out": middle(self.flat_out, "cycles_per_s"),
                "emptied_s": max(self.emptied) if self.emptied else None,
                "records": self.records if self.accounts else None}


def make_variants(options, folder, server):
    """Those of the same priority one after the other, the one without accounting first."""
    back_ends = {"no accounting": None, "sqlite": {"sqlite": {}}}
    if server:
        back_ends["mariadb"] = {"mysql": server.settings()}
    # Realtime needs root.
    return [Variant(name, folder / f"{name.split()[0]}-{realtime}", options.build, accounting, realtime)
            for realtime in ((False, True) if os.geteuid() == 0 else (False,))
            for name, accounting in back_ends.items()]


def measure(options, folder, tool):
    server = mariadb(options.build)
    variants = make_variants(options, folder, server)
    try:
        for _ in range(options.rounds):
            for variant in variants:
                variant.offer(tool, options.seconds)
            for variant in variants[:2]:
                variant.run_flat_out(tool, options.seconds)
    finally:
        for variant in variants:
            variant.house.stop()
        if server:
            server.close()
    rows = [variant.row() for variant in variants]
    for row in rows:
        without = next(one for one in rows if one["realtime"] == row["realtime"])
        row["p99_of_without"] = row["p99_us"] / without["p99_us"]
        if row["flat_out"]:
            row["rate_of_without"] = row["flat_out"] / without["flat_out"]
    expect_all_records(variants)
    return rows


def expect_all_records(variants):
    for variant in variants:
        if variant.name != "sqlite":
            continue
        with sqlite3.connect(variant.house.database) as database:
            written = database.execute("select count(*), count(distinct record_id) "
                                       "from media_sessions").fetchone()
        if written != (variant.records,) * 2:
            raise SystemExit(f"{variant.records} calls left {written[0]} records, of which "
                             f"{written[1]} different ones")
