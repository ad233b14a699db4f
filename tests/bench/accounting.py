# SPDX-License-Identifier: GPL-2.0-or-later
"""What accounting costs: beside no accounting, in the same run, rounds of all variants in turn."""
import json
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
    def __init__(self, name, folder, build, accounting):
        self.name, self.house = name, House(folder, build, split=False, accounting=accounting)
        self.accounts = bool(accounting)
        self.offered, self.flat_out, self.emptied, self.records = [], [], [], 0

    def offer(self, tool, seconds):
        self.offered.append(load(tool, "offered", self.house.socket, CONNECTIONS, seconds, RATE))
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
        return {"variant": self.name, "p50_us": middle(self.offered, "p50_us"),
                "p99_us": middle(self.offered, "p99_us"),
                "offered_got": middle(self.offered, "cycles_per_s"),
                "delayed": sum(one["delayed"] for one in self.offered),
                "flat_out": middle(self.flat_out, "cycles_per_s"),
                "emptied_s": max(self.emptied) if self.emptied else None,
                "records": self.records if self.accounts else None}


def measure(options, folder, tool):
    server = mariadb(options.build)
    variants = [Variant("no accounting", folder / "without", options.build, None),
                Variant("sqlite", folder / "sqlite", options.build, {"sqlite": {}})]
    if server:
        variants.append(Variant("mariadb", folder / "mariadb", options.build,
                                {"mysql": server.settings()}))
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
        row["p99_of_without"] = row["p99_us"] / rows[0]["p99_us"]
        row["rate_of_without"] = row["flat_out"] / rows[0]["flat_out"] if row["flat_out"] else None
    with sqlite3.connect(variants[1].house.database) as database:
        written = database.execute("select count(*), count(distinct record_id) "
                                   "from media_sessions").fetchone()
    if written != (variants[1].records,) * 2:
        raise SystemExit(f"{variants[1].records} calls left {written[0]} records, of which "
                         f"{written[1]} different ones")
    return rows
