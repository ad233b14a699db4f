# SPDX-License-Identifier: GPL-2.0-or-later
"""The loss matrix: whatever breaks, whenever: one record for each answered call."""
import concurrent.futures
import unittest

from lab import losses, runs
from lab.cluster import make_certs

PHASES = ("set-up", "call", "remove")
FAULTS = {
    "database stopped": losses.Place.database_stopped,
    "dispatcher kill -9": losses.Place.dispatcher_killed,
    "relay kill -9": losses.Place.relay_killed,
    "link cut": losses.Place.link_cut,
    "disks full, then freed": losses.Place.disks_full,
    "database stopped, dispatcher kill -9": losses.Place.database_stopped_and_dispatcher_killed,
}
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
            return losses.run(place, phase, FAULTS[fault])
        finally:
            place.kill()

    def test_every_answered_call_has_its_record_and_none_has_two(self):
        cells = [(fault, phase) for fault in FAULTS for phase in PHASES]
        with concurrent.futures.ThreadPoolExecutor(AT_ONCE) as pool:
            running = {
                cell: pool.submit(self.cell, number, *cell) for number, cell in enumerate(cells)
            }
        width = max(map(len, FAULTS))
        print(f"\n{'calls/records':{width}}  " + "  ".join(f"{phase:>12}" for phase in PHASES))
        for fault in FAULTS:
            done = [running[fault, phase] for phase in PHASES]
            shown = ["failed" if one.exception() else str(one.result()) for one in done]
            print(f"{fault:{width}}  " + "  ".join(f"{text:>12}" for text in shown), flush=True)
        for (fault, phase), cell in running.items():
            with self.subTest(f"{fault} during {phase}"):
                outcome = cell.result()
                self.assertGreater(outcome.calls, 20)
                self.assertEqual(outcome.missing, [])
                self.assertEqual(outcome.doubled, [])
                self.assertEqual(outcome.unexpected, [])

    def test_without_the_spool_on_disk_records_are_lost(self):
        """The control: the matrix can show a loss."""
        fault = "database stopped, dispatcher kill -9"
        outcome = self.cell(0, fault, "remove", spool="memory")
        print(f"\n{fault}, the spool in memory: {outcome}", flush=True)
        self.assertGreater(len(outcome.missing), 0)
        self.assertEqual(outcome.doubled, [])
