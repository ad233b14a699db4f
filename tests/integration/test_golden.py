# SPDX-License-Identifier: GPL-2.0-or-later
"""What MediaProxy 4.1 and a real Kamailio said, replayed against our roles; see tests/data/golden.

Each difference from 4.1 is a row of golden_differences.py, with the rule that wants it. A difference
that is not there fails, and so does a row that nothing needs any more.
"""

import concurrent.futures
import os
import socket
import types
import unittest

import golden_compare
import golden_differences
import golden_transcript
from golden_client import ClientReplay
from golden_dispatcher import DispatcherReplay
from golden_relay import RelayReplay
from lab import runs
from lab.cluster import make_certs
from lab.daemon import Daemon, free_port, until

NUMBERED = ("01", "02", "03", "04", "05", "06", "07", "08", "11", "12", "15", "17")
CLIENTS = ("kamailio-5.6.3-engage", "kamailio-5.6.3-use")
# How a proxy is told to end a call: recorded for the dialog terminator, which has tests of its own.
NOT_REPLAYED = ("kamailio-5.6.3-mi", "opensips-2.4.11-mi", "opensips-3.6.8-mi")

# The recorder's settings, as the transcripts show them; some intervals are shorter here.
RELAY_SETTINGS = {
    "02": {"answer_timeout": 6, "stream_timeout": 6},
    "04": {"on_hold_timeout": 9},
    "05": {"answer_timeout": 5, "stream_timeout": 5, "idle_timeout": 4},
    "06": {"stream_timeout": 5},
    "08": {"port_range": "40000:40006"},
    "12": {"keepalive_interval": 1},
}
DISPATCHER_SETTINGS = {
    "07": {"relay_timeout": 1, "relay_recover_interval": 3},
    "17": {"passport": "O:somebody else"},
}


def dispatcher_replay(name, folder, certs):
    peers = types.SimpleNamespace(relay_port=free_port(), management_port=free_port())
    settings = {
        "role": "dispatcher",
        "tls": {"certs_path": str(certs)},
        "dispatcher": {
            "socket_path": "dispatcher.sock",
            "listen": f"127.0.0.1:{peers.relay_port}",
            "accounting": ["sqlite"],
            "management": {
                "listen": f"127.0.0.1:{peers.management_port}",
                "use_tls": False,
                "framing": "array",
            },
            **DISPATCHER_SETTINGS.get(name, {}),
        },
        "accounting": {"sqlite": {"path": "sessions.sqlite"}},
    }
    daemon = Daemon("dispatcher", folder, settings).launch()
    try:
        peers.control_socket = str(daemon.control_socket)
        peers.database = daemon.folder / "sessions.sqlite"
        until(lambda: _listens(daemon, peers), 10, lambda: f"does not serve: {daemon.tail()}")
        return DispatcherReplay(golden_transcript.load(name), peers, certs).run()
    finally:
        daemon.stop()


def _listens(daemon, peers):
    if not daemon.alive():
        raise AssertionError(f"ended: {daemon.tail()}")
    try:
        for port in (peers.relay_port, peers.management_port):
            socket.create_connection(("127.0.0.1", port)).close()
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(peers.control_socket)
        return True
    except OSError:
        return False


def relay_replay(name, folder, certs):
    started = []

    def start(number, port, plan):
        settings = {
            "role": "relay",
            "tls": {"certs_path": str(certs)},
            "relay": {
                "dispatchers": [f"127.0.0.1:{port}"],
                "relay_ip": [plan.real(f"20.3.0.{number}")],
                "port_range": "40000:42000",
                "routable_private_ranges": ["127.0.0.0/8"],
                "reconnect_delay": 1,
                **RELAY_SETTINGS.get(name, {}),
            },
        }
        started.append(Daemon(f"relay{number}-{len(started)}", folder, settings).launch())
        return started[-1].process

    strays = golden_differences.STRAYS.get(name, ())
    return RelayReplay(golden_transcript.load(name), start, certs, strays).run()


def client_replay(name, folder, _certs):
    settings = {
        "role": "both",
        "dispatcher": {
            "socket_path": "dispatcher.sock",
            "listen": [],
            "management": {"listen": f"127.0.0.1:{free_port()}", "use_tls": False},
        },
        "relay": {"relay_ip": ["127.0.0.1", "::1"], "port_range": "40000:42000"},
    }
    daemon = Daemon("both", folder, settings).start()
    try:
        return ClientReplay(
            golden_transcript.load_client(name), lambda: daemon.connect().sock
        ).run()
    finally:
        daemon.stop()


REPLAYS = {
    f"{'test_' + name.replace('-', '_').replace('.', '_')}_{side}": (name, side, replay)
    for names, side, replay in (
        (NUMBERED, "dispatcher", dispatcher_replay),
        (NUMBERED, "relay", relay_replay),
        (CLIENTS, "both", client_replay),
    )
    for name in names
}


class Replays(unittest.TestCase):
    """They mostly wait, so several run at the same time; each test takes the result of its own."""

    running = {}

    def judge(self):
        name, side, _ = REPLAYS[self._testMethodName]
        findings = self.running[self._testMethodName].result(120)
        wrong = golden_compare.judge(name, side, findings, golden_differences.TABLE)
        if wrong:
            self.fail("differs from 4.1, and no row of the table wants it:\n" + "\n".join(wrong))


for _name in REPLAYS:
    setattr(Replays, _name, Replays.judge)


class ZAfterwards(unittest.TestCase):
    """Runs when all replays are judged."""

    def test_every_difference_of_the_table_is_still_one(self):
        judged = {REPLAYS[name][:2] for name in Replays.running}
        stale = [
            row
            for row in golden_differences.TABLE
            if not row.applied
            and not row.awaits(judged, [replay[:2] for replay in REPLAYS.values()])
        ]
        self.assertEqual(stale, [], "\n" + "\n".join(map(str, stale)))

    def test_every_transcript_is_replayed(self):
        files = set(os.listdir(golden_transcript.FOLDER))
        named = NUMBERED + CLIENTS + NOT_REPLAYED
        self.assertEqual(
            {os.path.basename(golden_transcript.path_of(name)) for name in named}, files
        )


def setUpModule():
    folder = runs.folder("golden")
    certs = make_certs(folder / "tls")
    pool = concurrent.futures.ThreadPoolExecutor(6)
    chosen = [test for test in runs.chosen() if isinstance(test, Replays)]
    longest = ("test_05_relay", "test_12_relay", "test_04_relay", "test_02_relay")
    chosen.sort(key=lambda test: test._testMethodName not in longest)
    for test in chosen:
        name, side, replay = REPLAYS[test._testMethodName]
        own = folder / f"{name}-{side}"
        own.mkdir()
        Replays.running[test._testMethodName] = pool.submit(replay, name, own, certs)
    pool.shutdown(wait=False)


if __name__ == "__main__":
    unittest.main()
