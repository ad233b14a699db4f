# SPDX-License-Identifier: GPL-2.0-or-later
"""A dispatcher, a relay, and calls by the second, while something breaks; then the books."""
import contextlib
import json
import pathlib
import sqlite3
import subprocess
import threading
import time

from .cable import Cable
from .cluster import dispatcher_settings, relay_settings
from .daemon import Daemon, merged, until

OFFER = "audio:127.0.0.1:30000:sendrecv:ice=no"
ANSWER = "audio:127.0.0.1:31000:sendrecv:ice=no"
RATE = 50  # calls a second
PROXIES = 5  # processes of the SIP proxy
TIMEOUT = 4  # seconds after which a call that nobody removed ends
OUTAGE = 1.5  # seconds that what is broken stays so
DISK = 24  # MB of each state folder


class Place:
    """A dispatcher and a relay with a cable between them, each on a small disk of its own.

    The records go into SQLite, or into `mariadb`.
    """

    def __init__(self, folder, certs, ports, spool="disk", mariadb=None):
        self.disks = [self._disk(folder / name) for name in ("disk-d", "disk-r")]
        settings = merged(
            dispatcher_settings(certs, relay_timeout=1), {"state_dir": str(self.disks[0])}
        )
        if mariadb:
            settings["dispatcher"]["accounting"] = ["mysql"]
            settings["accounting"] = {"mysql": mariadb.settings()}
        else:
            settings["accounting"]["sqlite"]["path"] = str(folder / "records.sqlite")
        self.mariadb = mariadb
        settings["store"] = {"spool": spool}
        self.has_spool = spool == "disk"
        self.dispatcher = Daemon("d", folder, settings)
        self.cable = Cable(self.dispatcher.settings["dispatcher"]["listen"])
        relay = relay_settings(
            certs,
            "r1",
            [self.cable.endpoint],
            port_range=ports,
            stream_timeout=TIMEOUT,
            answer_timeout=TIMEOUT,
            idle_timeout=TIMEOUT,
            save_interval=1,
        )
        self.relay = Daemon("r", folder, merged(relay, {"state_dir": str(self.disks[1])}))

    @staticmethod
    def _disk(path):
        path.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", str(path)], check=True
        )
        return path

    def start(self):
        self.dispatcher.launch()
        self.relay.launch()
        until(self.dispatcher.serves, 20, self.dispatcher.tail)
        until(self.connected, 20, self.dispatcher.tail)

    def connected(self):
        return any(r.get("status") == "active" for r in self.dispatcher.relays())

    def kill(self):
        for daemon in (self.dispatcher, self.relay):
            daemon.kill()
        for disk in self.disks:
            subprocess.run(["umount", "--lazy", str(disk)], check=False)

    # What can break, and how it is whole again.

    @contextlib.contextmanager
    def database_stopped(self):
        path = self.dispatcher.settings["accounting"]["sqlite"]["path"]
        until(lambda: pathlib.Path(path).exists(), 5, "no database")
        with contextlib.closing(sqlite3.connect(path, timeout=10)) as database:
            database.isolation_level = None
            database.execute("begin exclusive")
            yield
            database.execute("rollback")

    @contextlib.contextmanager
    def mariadb_killed(self):
        self.mariadb.crash()
        yield
        self.mariadb.start()

    @contextlib.contextmanager
    def dispatcher_killed(self):
        self.dispatcher.kill()
        yield
        self.dispatcher.launch()

    @contextlib.contextmanager
    def relay_killed(self):
        self.relay.kill()
        yield
        self.relay.launch()

    @contextlib.contextmanager
    def link_cut(self):
        self.cable.hold()
        time.sleep(0.3)  # bytes that were written and will never arrive
        self.cable.cut()
        yield
        self.cable.mend()

    @contextlib.contextmanager
    def disks_full(self):
        fillings = [disk / "filling" for disk in self.disks]
        for filling in fillings:
            with contextlib.suppress(OSError), open(filling, "wb", buffering=0) as file:
                while file.write(bytes(65536)):
                    pass
        yield
        for filling in fillings:
            filling.unlink()

    @contextlib.contextmanager
    def database_stopped_and_dispatcher_killed(self):
        with self.database_stopped():
            yield
            self.dispatcher.kill()
            self.dispatcher.launch()

    # The end of it.

    def rows(self):
        if not self.mariadb:
            return self.dispatcher.rows()
        return [(*row[:3], json.loads(row[3])) for row in self.mariadb.rows()]

    def state(self, daemon, disk, query):
        name = "mediaproxyd-relay.sqlite" if daemon is self.relay else "mediaproxyd.sqlite"
        if not (disk / name).exists():  # it is in memory
            return 0
        with contextlib.closing(
            sqlite3.connect(f"file:{disk / name}?mode=ro", uri=True, timeout=5)
        ) as database:
            return database.execute(query).fetchone()[0]

    def unfinished(self):
        """What is still to be told or written; nothing when all is said."""
        kept = self.state(
            self.relay, self.disks[1], "select count(*) from state where name = 'relay-calls'"
        )
        spooled = self.state(self.dispatcher, self.disks[0], "select count(*) from spool")
        waiting = self.state(
            self.dispatcher, self.disks[0], "select count(*) from state where name = 'removals'"
        )
        sessions = len(self.dispatcher.sessions())
        told = [json.loads(line) for line in self.dispatcher.manage("accounting")]
        counts = {
            "records, as the dispatcher says": sum(line.get("waiting", 0) for line in told),
            "calls on the relay's disk": kept,
            "spooled": spooled,
            "removals": waiting,
            "sessions": sessions,
        }
        return {what: count for what, count in counts.items() if count}


class Calls:
    """Calls in a row, some at a time, by a few proxies; what each of them was told."""

    def __init__(self, place, names):
        self.place, self.names = place, names
        self.answered, self.unsure = set(), set()
        self._lock = threading.Lock()
        self._done = 0  # steps of the present run

    def run(self, step, at=None, then=None):
        """`step` for every call, RATE a second; after `at` of them `then()` is begun."""
        begin, threads = time.monotonic(), []
        self._done = 0
        for proxy in range(PROXIES):
            threads.append(
                threading.Thread(target=self._proxy, args=(proxy, step, begin), daemon=True)
            )
            threads[-1].start()
        if then:
            until(lambda: self._done >= at, 60, lambda: f"only {self._done} calls in a minute")
            then()
        for thread in threads:
            thread.join(60)
            if thread.is_alive():
                raise AssertionError("a proxy got no answer for a minute")

    def _proxy(self, proxy, step, begin):
        connection = None
        for number in range(proxy, len(self.names), PROXIES):
            time.sleep(max(0.0, begin + number / RATE - time.monotonic()))
            try:
                connection = connection or self.place.dispatcher.connect()
                step(connection, self.names[number])
                with self._lock:
                    self._done += 1
            except OSError:  # the dispatcher is gone; the proxy goes on with the next call
                if connection:
                    connection.close()
                connection = None
        if connection:
            connection.close()

    def set_up(self, connection, name):
        if connection.update(name, OFFER) == "error":
            return
        with self._lock:
            self.unsure.add(name)
        answer = connection.update(name, ANSWER, kind="reply", to_tag="B")
        if answer != "error":
            with self._lock:
                self.unsure.discard(name)
                self.answered.add(name)

    def remove(self, connection, name):
        if name in self.answered or name in self.unsure:
            connection.remove(name)


class Outcome:
    """The books of one run: every answered call once, every other one at most once."""

    def __init__(self, calls, rows):
        count = dict.fromkeys(calls.names, 0)
        for row in rows:
            count[row[0]] = count.get(row[0], 0) + 1
        self.calls = len(calls.answered)
        self.records = len(rows)
        self.missing = sorted(name for name in calls.answered if count[name] == 0)
        self.doubled = sorted(name for name, number in count.items() if number > 1)
        self.unexpected = sorted(
            name
            for name, number in count.items()
            if number and name not in calls.answered and name not in calls.unsure
        )

    def __str__(self):
        text = f"{self.calls}/{self.records}"
        for mark, names in (("-", self.missing), ("+", self.doubled), ("?", self.unexpected)):
            text += f" {mark}{len(names)}" if names else ""
        return text


def settle(place, patience=40, still=0.0):
    """Waits until everything is whole and said, and stays so for `still` seconds."""
    seen = {"since": time.monotonic()}

    def quiet():
        try:
            seen["left"] = place.unfinished() if place.connected() else {"no relay": 1}
        except (OSError, sqlite3.OperationalError) as problem:
            seen["left"] = {str(problem): 1}
        if seen["left"]:
            seen["since"] = time.monotonic()
        return not seen["left"] and time.monotonic() - seen["since"] >= still

    until(
        quiet,
        patience,
        lambda: f"still {seen['left']}\n{place.dispatcher.tail()}\n{place.relay.tail()}",
    )


def run(place, phase, fault, count=150):
    """One run: calls are set up, go on, are removed; `fault` comes during that `phase`."""
    calls = Calls(place, [f"{phase}-{number}" for number in range(count)])
    breaking = []

    def strike():
        def broken():
            with fault(place):
                time.sleep(OUTAGE)

        breaking.append(threading.Thread(target=broken, daemon=True))
        breaking[-1].start()

    def whole_again():
        breaking[-1].join(60)
        until(place.dispatcher.serves, 20, place.dispatcher.tail)

    place.start()
    middle = count // 3
    calls.run(calls.set_up, middle, strike if phase == "set-up" else None)
    if phase == "call":
        strike()
        whole_again()
    calls.run(calls.remove, middle, strike if phase == "remove" else None)
    whole_again()
    # How full a spool in memory is the dispatcher tells half a second late.
    settle(place, still=0.0 if place.has_spool else 2.0)
    return Outcome(calls, place.rows())
