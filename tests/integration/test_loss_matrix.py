# SPDX-License-Identifier: GPL-2.0-or-later
"""The loss matrix: whatever breaks, whenever: one record for each answered call."""
import concurrent.futures
import unittest

from lab import losses, runs
from lab.cluster import make_certs
from lab.mariadb import MariaDB

PHASES = ("set-up", "call", "remove")
FAULTS = {
    "database stopped": losses.Place.database_stopped,
    "dispatcher kill -9": losses.Place.dispatcher_killed,
    "relay kill -9": losses.Place.relay_killed,
    "link cut": losses.Place.link_cut,
    "disks full, then freed": losses.Place.disks_full,
    "database stopped, dispatcher kill -9": losses.Place.database_stopped_and_dispatcher_killed,
}
KILLED_SERVER = "MariaDB kill -9"
AT_ONCE = 3  # runs at a time: each of them mostly waits


class LossMatrix(unittest.TestCase):
    def setUp(self):
        self.folder = runs.folder("losses")
        self.certs = make_certs(self.folder / "tls")

    def cell(self, number, fault, phase, **changes):
        folder = self.folder / str(number)
        folder.mkdir()
        low = 40000 + 900 * number
        place = losses.Place(folder, self.certs, f"{low}:{low + 900}", **changes)
        try:
            return losses.run(place, phase, FAULTS.get(fault, losses.Place.mariadb_killed))
        finally:
            place.kill()

    def show(self, fault, outcomes):
        width = max(map(len, FAULTS))
        shown = ["failed" if one.exception() else str(one.result()) for one in outcomes]
        print(f"{fault:{width}}  " + "  ".join(f"{text:>12}" for text in shown), flush=True)

    def judge(self, fault, phase, outcome):
        with self.subTest(f"{fault} during {phase}"):
            books = outcome.result()
            self.assertGreater(books.calls, 20)
            self.assertEqual(books.missing, [])
            self.assertEqual(books.doubled, [])
            self.assertEqual(books.unexpected, [])

    def test_every_answered_call_has_its_record_and_none_has_two(self):
        cells = [(fault, phase) for fault in FAULTS for phase in PHASES]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            running = {
                cell: pool.submit(self.cell, number, *cell) for number, cell in enumerate(cells)
            }
        print("\nCalls with a start_time / records, while something breaks:", flush=True)
        print(" " * max(map(len, FAULTS)) + "  " + "  ".join(f"{p:>12}" for p in PHASES))
        for fault in FAULTS:
            self.show(fault, [running[fault, phase] for phase in PHASES])
        for (fault, phase), outcome in running.items():
            self.judge(fault, phase, outcome)

    def test_a_database_server_that_is_killed_costs_no_record(self):
        server = MariaDB()
        self.addCleanup(server.close)
        outcomes = []
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            for number, phase in enumerate(PHASES):
                server.reset()
                outcomes.append(
                    pool.submit(self.cell, number, KILLED_SERVER, phase, mariadb=server)
                )
                concurrent.futures.wait(outcomes)
        self.show(KILLED_SERVER, outcomes)
        for phase, outcome in zip(PHASES, outcomes):
            self.judge(KILLED_SERVER, phase, outcome)

    def test_without_the_spool_on_disk_records_are_lost(self):
        """The control: the matrix can show a loss."""
        fault = "database stopped, dispatcher kill -9"
        outcome = self.cell(0, fault, "remove", spool="memory")
        print(f"\n{fault}, the spool in memory: {outcome}", flush=True)
        self.assertGreater(len(outcome.missing), 0)
        self.assertEqual(outcome.doubled, [])
