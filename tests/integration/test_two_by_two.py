# SPDX-License-Identifier: GPL-2.0-or-later
"""Two dispatchers and two relays on loopback over TLS: spreading, failing over, coming back."""
import collections
import concurrent.futures
import signal
import unittest

from lab import runs
from lab.cluster import Cluster, ports_of, relay_of
from lab.daemon import until

PATIENCE = 0.5  # seconds that the proxy's module waits for an answer
OFFER = "audio:127.0.0.1:30000:sendrecv:ice=no"
ANSWER = "audio:127.0.0.1:31000:sendrecv:ice=no"


class ClusterCase(unittest.TestCase):
    """A test with a cluster of its own."""

    relay_changes = {}

    def setUp(self):
        self.cluster = Cluster(runs.folder(self._testMethodName), **self.relay_changes)
        self.addCleanup(self.cluster.kill)
        self.cluster.start()
        self.first, self.second = self.cluster.dispatchers
        self.r1, self.r2 = self.cluster.relays["r1"], self.cluster.relays["r2"]

    def connection(self, dispatcher=None):
        connection = (dispatcher or self.first).connect()
        self.addCleanup(connection.close)
        return connection

    def establish(self, connection, call_id):
        """An answered call; gives the answers to the offer and to the answer."""
        return (
            connection.update(call_id, OFFER),
            connection.update(call_id, ANSWER, kind="reply", to_tag="B"),
        )

    def calls_on(self, connection, name, count, prefix="known"):
        """Answered calls, at least `count` of them on the relay of that name: {id: answers}."""
        calls = {}
        while sum(relay_of(a[0]) == name for a in calls.values()) < count:
            call_id = f"{prefix}-{len(calls)}"
            calls[call_id] = self.establish(connection, call_id)
            self.assertLess(len(calls), 50, f"no new call goes to {name}")
        return calls


class TwoByTwo(ClusterCase):
    def test_new_calls_spread_over_the_relays(self):
        for dispatcher in self.cluster.dispatchers:
            connection = self.connection(dispatcher)
            answers = [
                connection.update(f"{dispatcher.name}-{number}", OFFER) for number in range(40)
            ]
            relays = collections.Counter(relay_of(answer) for answer in answers)
            self.assertGreaterEqual(min(relays["r1"], relays["r2"]), 10, dispatcher.name)
            self.assertLess(connection.slowest, PATIENCE)

    def test_sessions_and_summary_tell_of_all_relays(self):
        connection = self.connection()
        self.establish(connection, "mine")
        self.assertIn("mine", [session["call_id"] for session in self.first.sessions()])
        counts = sorted(relay["session_count"] for relay in self.first.relays())
        self.assertEqual(counts, [0, 1])

    def test_the_preferred_relay_is_chosen_by_address(self):
        """Both relays have this address, so any of them will do; an unknown address is no error."""
        connection = self.connection()
        for number, wanted in enumerate(["127.0.0.1", "192.0.2.7"]):
            ports_of(connection.update(f"wish-{number}", OFFER, media_relay=wanted))

    def load(self, prefix, workers=8, each=6):
        """New calls from several proxy processes at once: (answers, slowest answer)."""

        def process(worker):
            connection = self.first.connect()
            try:
                answers = [
                    connection.update(f"{prefix}-{worker}-{number}", OFFER)
                    for number in range(each)
                ]
                return answers, connection.slowest
            finally:
                connection.close()

        with concurrent.futures.ThreadPoolExecutor(workers) as pool:
            results = list(pool.map(process, range(workers)))
        return [a for answers, _ in results for a in answers], max(slow for _, slow in results)

    def expect_only_r2(self, prefix):
        """Every new call gets its ports from r2, in time."""
        answers, slowest = self.load(prefix)
        self.assertEqual({relay_of(answer) for answer in answers}, {"r2"})
        self.assertLess(slowest, PATIENCE)

    def test_a_killed_relay_costs_no_request_its_deadline(self):
        connection = self.connection()
        known = self.calls_on(connection, "r1", 3)
        self.r1.kill()
        self.expect_only_r2("after")
        for call_id, (offer, answer) in known.items():
            again = connection.update(call_id, ANSWER, kind="reply", to_tag="B")
            self.assertEqual(again, "error" if relay_of(offer) == "r1" else answer)
            self.assertEqual(connection.remove(call_id), "removed")
        self.assertLess(connection.slowest, PATIENCE)

    def test_a_killed_relay_that_comes_back_gets_calls_again(self):
        connection = self.connection()
        self.calls_on(connection, "r1", 1)
        self.r1.kill()
        self.expect_only_r2("without")
        self.r1.launch()
        self.cluster.await_relays(self.first)
        self.calls_on(connection, "r1", 3, "again")

    def test_a_silent_relay_costs_no_request_its_deadline(self):
        connection = self.connection()
        known = self.calls_on(connection, "r1", 3)
        self.r1.signal(signal.SIGSTOP)
        self.expect_only_r2("after")
        for call_id, (offer, answer) in known.items():
            again = connection.update(call_id, ANSWER, kind="reply", to_tag="B")
            self.assertEqual(again, "error" if relay_of(offer) == "r1" else answer)
        self.assertLess(connection.slowest, PATIENCE)

    def test_what_a_silent_relay_does_too_late_is_undone(self):
        """Once it goes on, calls that others took over are removed there; its own still live."""
        connection = self.connection()
        known = self.calls_on(connection, "r1", 2)
        self.r1.signal(signal.SIGSTOP)
        self.expect_only_r2("after")
        self.r1.resume()
        mine = {call_id for call_id, (offer, _) in known.items() if relay_of(offer) == "r1"}

        def sessions_on_r1():
            return {
                session["call_id"]
                for session in self.first.sessions()
                if session["streams"]
                and 41000 <= int(session["streams"][0]["caller_local"].rpartition(":")[2]) < 41400
            }

        until(lambda: sessions_on_r1() == mine, 10, lambda: f"r1 has {sessions_on_r1()}")
        until(
            lambda: sorted(r.get("session_count") for r in self.first.relays())[0] == len(mine),
            10,
            lambda: f"{len(mine)} calls of r1 are known, but: {self.first.relays()}",
        )
        for call_id in mine:
            self.assertEqual(
                connection.update(call_id, ANSWER, kind="reply", to_tag="B"), known[call_id][1]
            )

    def restart_first(self, how):
        self.first.signal(how)
        self.first.wait(10)
        self.first.start()
        self.cluster.await_relays(self.first)

    def knows_its_calls(self, how):
        connection = self.connection()
        known = {
            f"call-{number}": self.establish(connection, f"call-{number}") for number in range(8)
        }
        foreign = self.connection(self.second)
        self.establish(foreign, "foreign")
        self.restart_first(how)
        connection = self.connection()
        listed = {session["call_id"] for session in self.first.sessions()}
        self.assertEqual(listed - {"foreign"}, set(known))
        for call_id, (_, answer) in known.items():
            again = connection.update(call_id, ANSWER, kind="reply", to_tag="B")
            self.assertEqual(again, answer)
            self.assertEqual(connection.remove(call_id), "removed")
        until(
            lambda: len(self.first.rows()) == len(known),
            5,
            lambda: f"{len(self.first.rows())} rows of {len(known)} calls",
        )
        self.assertEqual({row[0] for row in self.first.rows()}, set(known))
        self.assertIn("foreign", [session["call_id"] for session in self.second.sessions()])
        self.assertEqual(foreign.remove("foreign"), "removed")

    def test_a_restarted_dispatcher_still_knows_its_calls(self):
        self.knows_its_calls(signal.SIGTERM)

    def test_a_killed_dispatcher_still_knows_its_calls(self):
        self.knows_its_calls(signal.SIGKILL)

    def test_a_drained_relay_empties_and_exits(self):
        connection = self.connection()
        known = self.calls_on(connection, "r1", 3)
        self.r1.signal(signal.SIGHUP)
        until(
            lambda: any(r.get("status") == "halting" for r in self.first.relays()),
            5,
            lambda: f"no relay is halting: {self.first.relays()}",
        )
        self.expect_only_r2("new")
        for call_id, (_, answer) in known.items():
            again = connection.update(call_id, ANSWER, kind="reply", to_tag="B")
            self.assertEqual(again, answer, "a draining relay serves the calls that it has")
        self.assertTrue(self.r1.alive())
        for call_id in known:
            self.assertEqual(connection.remove(call_id), "removed")
        self.assertEqual(self.r1.wait(10), 0)
        until(
            lambda: len(self.first.rows()) == len(known),
            5,
            lambda: f"{len(self.first.rows())} rows of {len(known)} calls",
        )
        self.expect_only_r2("later")

    def test_an_idle_relay_drains_at_once(self):
        self.r1.signal(signal.SIGHUP)
        self.assertEqual(self.r1.wait(5), 0)


class Expiry(ClusterCase):
    """Relays with a stream timeout of one second."""

    relay_changes = {"stream_timeout": 1, "idle_timeout": 2}

    def test_an_expired_session_is_told_to_the_dispatcher_that_made_it(self):
        connection = self.connection(self.second)
        self.establish(connection, "silent")
        rows = until(lambda: self.second.rows("silent"), 10, "no row of the expired call")
        self.assertIs(rows[0][3]["timed_out"], True)
        self.assertEqual(rows[0][3]["streams"][0]["status"], "no-traffic timeout")
        self.assertEqual(self.first.rows("silent"), [])
        self.assertEqual(connection.remove("silent"), "removed")
        self.assertEqual(len(self.second.rows("silent")), 1)
