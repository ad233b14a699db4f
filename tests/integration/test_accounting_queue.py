# SPDX-License-Identifier: GPL-2.0-or-later
"""The spool between the dispatcher and its accounting back ends: kills, full disks, damage, refusals."""
import contextlib
import json
import sqlite3
import subprocess
import unittest

from lab import daemon as lab_daemon
from lab import runs
from lab.cluster import both_settings
from lab.daemon import Daemon, merged, until
from lab.unhurt import ANSWER, OFFER

# As the plugin makes it, but that it takes no calls of that name.
PICKY_TABLE = """CREATE TABLE media_sessions (id INTEGER PRIMARY KEY AUTOINCREMENT,
    call_id VARCHAR(255) NOT NULL CHECK (call_id NOT LIKE 'refused%'),
    from_tag VARCHAR(64) NOT NULL, to_tag VARCHAR(64), info BLOB, record_id VARCHAR(64) UNIQUE)"""


class QueueCase(unittest.TestCase):
    def setUp(self):
        self.folder = runs.folder(self._testMethodName)
        self.database = self.folder / "sessions.sqlite"
        self.state = self.folder / "state"
        self.state.mkdir()

    def settings(self, **changes):
        return merged(
            both_settings(),
            {
                "state_dir": str(self.state),
                "dispatcher": {"accounting": ["sqlite"]},
                "accounting": {"sqlite": {"path": str(self.database)}},
                **changes,
            },
        )

    def daemon(self, name="daemon", **changes):
        daemon = Daemon(name, self.folder, self.settings(**changes))
        self.addCleanup(daemon.kill)
        return daemon

    def calls(self, daemon, *call_ids):
        """Answered calls that the proxy removes; the slowest answer in seconds."""
        with contextlib.closing(daemon.connect()) as proxy:
            for call_id in call_ids:
                self.assertNotEqual(proxy.update(call_id, OFFER), "error")
                self.assertNotEqual(
                    proxy.update(call_id, ANSWER, kind="reply", to_tag="B"), "error"
                )
                self.assertEqual(proxy.remove(call_id), "removed")
            return proxy.slowest

    def recorded(self, daemon, *call_ids):
        """Waits until exactly these have a record, one each."""
        until(
            lambda: len(daemon.rows()) >= len(call_ids),
            20,
            lambda: f"{len(daemon.rows())} of {len(call_ids)} records: {daemon.tail()}",
        )
        self.assertEqual(sorted(row[0] for row in daemon.rows()), sorted(call_ids))

    @contextlib.contextmanager
    def locked_database(self):
        """A back end that cannot write meanwhile."""
        with contextlib.closing(sqlite3.connect(self.database, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            yield

    @staticmethod
    def call_ids(path):
        """Of a back end's database; none while it has no table."""
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as database:
            try:
                return [row[0] for row in database.execute("SELECT call_id FROM media_sessions")]
            except sqlite3.OperationalError:
                return []

    def accounting(self, daemon):
        return {one["name"]: one for one in map(json.loads, daemon.manage("accounting"))}

    def command(self, daemon, *words):
        done = subprocess.run(
            [str(lab_daemon.EXECUTABLE), "--config", str(daemon.config), "--accounting", *words],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
        self.assertEqual(done.stderr, "")
        return done.stdout.splitlines()


class Kills(QueueCase):
    def test_what_was_answered_is_recorded_after_a_kill(self):
        daemon = self.daemon().start()
        self.calls(daemon, "first")
        self.recorded(daemon, "first")
        names = [f"call-{number}" for number in range(50)]
        with self.locked_database():
            self.calls(daemon, *names)
            daemon.kill()  # at once behind the last `removed`
        daemon.start()
        self.recorded(daemon, "first", *names)
        self.calls(daemon, "last")
        self.recorded(daemon, "first", "last", *names)

    def test_a_spool_in_memory_loses_them(self):
        daemon = self.daemon(store={"spool": "memory"}).start()
        self.calls(daemon, "first")
        self.recorded(daemon, "first")
        with self.locked_database():
            self.calls(daemon, "lost-1", "lost-2")
            daemon.kill()
        daemon.start()
        self.calls(daemon, "last")
        self.recorded(daemon, "first", "last")
        self.assertFalse(list(self.state.glob("mediaproxyd.sqlite*")))


class Disk(QueueCase):
    def test_a_full_disk_that_is_freed_loses_nothing_and_holds_up_nobody(self):
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(self.state)], check=True
        )
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.state)], check=True)
        daemon = self.daemon().start()
        self.calls(daemon, "before")
        self.recorded(daemon, "before")
        filler = self.state / "filler"
        with contextlib.suppress(OSError), open(filler, "wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        names = [f"call-{number}" for number in range(100)]
        self.assertLess(self.calls(daemon, *names), 0.35)
        alarm = until(
            lambda: self.accounting(daemon)["spool"]["alarm"], 5, "there is no alarm"
        )
        self.assertIn("full", alarm)
        self.assertEqual(len(daemon.logged("changes wait in memory")), 1, daemon.tail())
        self.assertIn("full", daemon.relays()[0]["accounting"]["alarm"])
        filler.unlink()
        until(lambda: not self.accounting(daemon)["spool"]["alarm"], 10, "the alarm stays")
        self.assertEqual(len(daemon.logged("can be written again")), 1, daemon.tail())
        self.recorded(daemon, "before", *names)

    def test_a_damaged_spool_is_set_aside_and_its_records_are_delivered(self):
        daemon = self.daemon().start()
        self.calls(daemon, "first")
        self.recorded(daemon, "first")
        names = [f"call-{number}" for number in range(50)]
        with self.locked_database():
            self.calls(daemon, *names)
            daemon.stop()
        path = self.state / "mediaproxyd.sqlite"
        with open(path, "r+b") as file:
            file.write(b"\xa5" * 4096)
        daemon.start()
        self.recorded(daemon, "first", *names)
        aside = list(self.state.glob("*.damaged-*"))
        self.assertEqual(len(aside), 1)
        self.assertTrue(daemon.logged("set aside as", aside[0].name, "50 records"), daemon.tail())

    def test_a_second_daemon_on_the_same_spool_is_refused(self):
        self.daemon().start()
        other = self.daemon("other").launch()
        self.assertNotEqual(other.wait(10), 0)
        self.assertTrue(other.logged("mediaproxyd.sqlite", "in use by another process"))


class Refusals(QueueCase):
    def test_refused_records_are_listed_exported_and_tried_again_while_the_daemon_runs(self):
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            database.execute(PICKY_TABLE)
        daemon = self.daemon().start()
        self.calls(daemon, "good", "refused-1", "refused-2")
        self.recorded(daemon, "good")
        until(
            lambda: self.accounting(daemon)["accounting.sqlite"]["parked"] == 2,
            10,
            lambda: f"{self.accounting(daemon)}: {daemon.tail()}",
        )
        figures = daemon.relays()[0]["accounting"]["back_ends"]["accounting.sqlite"]
        self.assertEqual(figures, {"waiting": 0, "oldest_age": None, "parked": 2})
        lines = self.command(daemon, "list", "sqlite")
        self.assertIn("2 refused", lines[0])
        self.assertEqual(["refused-1" in lines[1], "refused-2" in lines[2]], [True, True])
        self.assertIn("constraint", lines[1])
        exported = [json.loads(line) for line in self.command(daemon, "export")]
        self.assertEqual(
            [one["record"]["call_id"] for one in exported], ["refused-1", "refused-2"]
        )
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            database.executescript(
                "BEGIN; ALTER TABLE media_sessions RENAME TO old;"
                + PICKY_TABLE.replace("CHECK (call_id NOT LIKE 'refused%')", "")
                + "; INSERT INTO media_sessions SELECT * FROM old; DROP TABLE old; COMMIT"
            )
        self.assertEqual(
            self.command(daemon, "retry", "sqlite", exported[0]["record_id"]),
            ["1 records will be tried again"],
        )
        self.recorded(daemon, "good", "refused-1")
        daemon.stop()
        self.assertEqual(self.command(daemon, "retry"), ["1 records will be tried again"])
        daemon.start()
        self.recorded(daemon, "good", "refused-1", "refused-2")
        until(lambda: not self.command(daemon, "list"), 10, daemon.tail)


class BackEnds(QueueCase):
    def test_one_that_stands_still_delays_neither_the_others_nor_the_stop(self):
        daemon = self.daemon(
            dispatcher={"accounting": ["slow", "sqlite"]},
            accounting={
                "sqlite": {"path": str(self.database)},
                "slow": {
                    "plugin": "sqlite",
                    "path": str(self.folder / "slow.sqlite"),
                    "busy_timeout": 60,
                },
            },
        ).start()
        self.calls(daemon, "first")
        slow = self.folder / "slow.sqlite"
        until(lambda: self.call_ids(slow) == ["first"], 10, daemon.tail)
        with contextlib.closing(sqlite3.connect(slow, isolation_level=None)) as other:
            other.execute("BEGIN EXCLUSIVE")
            names = [f"call-{number}" for number in range(20)]
            self.calls(daemon, *names)
            self.recorded(daemon, "first", *names)
            figures = until(
                lambda: (one := self.accounting(daemon)["accounting.slow"])["waiting"] == 20 and one,
                10,
                lambda: str(self.accounting(daemon)),
            )
            self.assertGreaterEqual(figures["oldest_age"], 0)
            daemon.signal(15)
            self.assertEqual(daemon.wait(8), 0)
        self.assertEqual(self.call_ids(slow), ["first"])
        daemon.start()
        until(lambda: len(self.call_ids(slow)) == 21, 20, daemon.tail)
