# SPDX-License-Identifier: GPL-2.0-or-later
"""Dispatchers and relays as processes of their own on loopback, joined over TLS."""
import pathlib
import re
import subprocess

from .daemon import Daemon, free_port, until

MAKE_CERTS = pathlib.Path(__file__).resolve().parents[3] / "tls" / "make-certs"
# By role: a port range tells which relay an answer came from.
RANGES = {"r1": (41000, 41400), "r2": (42000, 42400)}


def make_certs(folder, *words):
    subprocess.run([str(MAKE_CERTS), *words, str(folder)], check=True, stdout=subprocess.DEVNULL)
    return folder


def dispatcher_settings(certs, **changes):
    """A dispatcher that listens for relays on 127.0.0.1 and writes its records into SQLite."""
    return {
        "role": "dispatcher",
        "tls": {"certs_path": str(certs)},
        "dispatcher": {
            "socket_path": "dispatcher.sock",
            "listen": f"127.0.0.1:{free_port()}",
            "accounting": ["sqlite"],
            "management": {"listen": f"127.0.0.1:{free_port()}", "use_tls": False},
            **changes,
        },
        "accounting": {"sqlite": {"path": "sessions.sqlite"}},
    }


def relay_settings(certs, name, dispatchers, **changes):
    """A relay on 127.0.0.1 whose port range is its own; `dispatchers` are daemons or addresses."""
    low, high = RANGES[name]
    return {
        "role": "relay",
        "tls": {"certs_path": str(certs)},
        "relay": {
            "name": name,
            "dispatchers": [
                d if isinstance(d, str) else d.settings["dispatcher"]["listen"] for d in dispatchers
            ],
            "relay_ip": ["127.0.0.1"],
            "port_range": f"{low}:{high}",
            "routable_private_ranges": ["127.0.0.0/8"],
            "reconnect_delay": 1,
            **changes,
        },
    }


def both_settings(port_range="43000:43400", **relay):
    """One daemon in both roles on 127.0.0.1, its management open, its records in SQLite."""
    return {
        "role": "both",
        "dispatcher": {
            "socket_path": "dispatcher.sock",
            "listen": [],
            "accounting": ["sqlite"],
            "management": {"listen": f"127.0.0.1:{free_port()}", "use_tls": False},
        },
        "relay": {
            "relay_ip": ["127.0.0.1"],
            "port_range": port_range,
            "routable_private_ranges": ["127.0.0.0/8"],
            **relay,
        },
        "accounting": {"sqlite": {"path": "sessions.sqlite"}},
    }


def ports_of(answer):
    """The ports of an answer `IP PORT ...`; anything else is a failure."""
    match = re.fullmatch(r"(\S+)((?: \d+)+)", answer)
    if not match or answer == "error":
        raise AssertionError(f"no address and ports in the answer {answer!r}")
    return [int(port) for port in match[2].split()]


def relay_of(answer):
    """Which relay of RANGES gave the answer."""
    port = ports_of(answer)[0]
    return next(name for name, (low, high) in RANGES.items() if low <= port < high)


class Cluster:
    """`dispatchers` (d1, d2) and `relays` (r1, r2), every relay connected to every dispatcher."""

    def __init__(self, folder, **relay_changes):
        self.certs = make_certs(folder / "tls")
        self.dispatchers = [
            Daemon(name, folder, dispatcher_settings(self.certs)) for name in ("d1", "d2")
        ]
        self.relays = {
            name: Daemon(
                name, folder, relay_settings(self.certs, name, self.dispatchers, **relay_changes)
            )
            for name in RANGES
        }

    @property
    def members(self):
        return [*self.dispatchers, *self.relays.values()]

    def start(self):
        for member in self.members:
            member.launch()
        for dispatcher in self.dispatchers:
            until(dispatcher.serves, 10, lambda d=dispatcher: f"{d.name}: {d.tail()}")
            self.await_relays(dispatcher)
        return self

    def await_relays(self, dispatcher, count=2):
        """Waits until so many relays are connected to the dispatcher and active."""

        def connected():
            return [r for r in dispatcher.relays() if r.get("status") == "active"]

        until(
            lambda: len(connected()) == count,
            15,
            lambda: f"{dispatcher.name} has the relays {dispatcher.relays()}: {dispatcher.tail()}",
        )

    def stop(self):
        """Ends all; a stopped one is continued first."""
        problems = []
        for member in self.members:
            try:
                member.resume()
                member.stop()
            except AssertionError as problem:
                problems.append(str(problem))
        if problems:
            raise AssertionError("; ".join(problems))

    def kill(self):
        for member in self.members:
            member.kill()
