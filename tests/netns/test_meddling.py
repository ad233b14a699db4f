# SPDX-License-Identifier: GPL-2.0-or-later
"""Others change the kernel's state while calls run: it is restored, and no call is lost."""
import time

from lab.daemon import until
from wire.backends import ALL, KERNEL, with_each
from wire.case import Forwarding
from wire.place import run, run_in

CALLS = 50
RESTORED = 2  # seconds within which a back end forwards again
LEARNED = 10  # the same where neighbours must be found anew: the daemon relays meanwhile


@with_each(KERNEL)
class Meddling(Forwarding):
    def meddle(self, how, family=4, *, loses=0.0, restored=RESTORED):
        """`how` is done while everybody talks.

        Up to `loses` seconds of media may be lost; the back end forwards it all `restored` seconds later.
        """
        self.make_place()
        daemon = self.start()
        proxy = self.proxy(daemon)
        calls = self.calls(proxy, CALLS, family)
        load = self.phones(calls)
        load.start()
        self.until_forwarded(daemon, CALLS)
        how()
        self.heal(load, allowed=loses)
        self.until_forwarded(daemon, CALLS, patience=restored + 1)
        load.pause()
        self.assert_no_more_lost_than(load, loses, CALLS)
        ids = {session["call_id"] for session in daemon.sessions()}
        self.assertEqual(ids, {call.call_id for call in calls})
        for call in calls:
            call.remove(proxy)
        daemon.stop()

    def flush_ruleset(self):
        run_in("relay", "nft", "flush", "ruleset")

    def delete_our_tables(self):
        for family, name in self.place.tables():
            run_in("relay", "nft", "delete", "table", family, name)

    def empty_our_tables(self):
        """The rules are gone, chains and sets stay."""
        for family, name in self.place.tables():
            run_in("relay", "nft", "flush", "table", family, name)

    def flush_conntrack(self):
        run_in("relay", "conntrack", "-F")

    def test_flushed_ruleset_ipv4(self):
        self.meddle(self.flush_ruleset, 4)

    def test_flushed_ruleset_ipv6(self):
        self.meddle(self.flush_ruleset, 6)

    def test_deleted_tables_ipv4(self):
        self.meddle(self.delete_our_tables, 4)

    def test_deleted_tables_ipv6(self):
        self.meddle(self.delete_our_tables, 6)

    def test_emptied_tables(self):
        self.meddle(self.empty_our_tables, loses=RESTORED)

    def test_flushed_conntrack_ipv4(self):
        self.meddle(self.flush_conntrack, 4)

    def test_flushed_conntrack_ipv6(self):
        self.meddle(self.flush_conntrack, 6)

    def forget_neighbours(self):
        run("ip", "-n", "relay", "neigh", "flush", "all")

    def test_forgotten_neighbours_ipv4(self):
        """The kernel may drop what waits for a neighbour that is forgotten, as any router does."""
        self.meddle(self.forget_neighbours, 4, loses=0.01)

    def test_forgotten_neighbours_ipv6(self):
        self.meddle(self.forget_neighbours, 6, loses=0.01)

    def test_forwarding_switched_off(self):
        """The kernel drops what it would forward, until the back end sets it again."""
        self.meddle(lambda: self.place.set("net.ipv4.ip_forward", 0), 4, loses=RESTORED)

    def test_a_device_that_is_down_for_a_while(self):
        def down_and_up():
            run("ip", "-n", "relay", "link", "set", "to-bob", "down")
            time.sleep(0.5)  # the outage
            run("ip", "-n", "relay", "link", "set", "to-bob", "up")

        self.meddle(down_and_up, 4, loses=0.5 + RESTORED, restored=LEARNED)

    def test_a_device_that_is_taken_away_and_comes_back(self):
        def out_and_in():
            run("ip", "-n", "relay", "link", "del", "to-bob")
            time.sleep(0.5)  # the outage
            self.place.connect("bob")

        self.meddle(out_and_in, 4, loses=0.5 + RESTORED, restored=LEARNED)

    def test_an_address_that_is_taken_away_and_comes_back(self):
        """The relay's own: nothing that is sent to it arrives meanwhile."""

        def out_and_in():
            run("ip", "-n", "relay", "addr", "del", "10.92.0.1/32", "dev", "lo")
            time.sleep(0.5)  # the outage
            run("ip", "-n", "relay", "addr", "add", "10.92.0.1/32", "dev", "lo")

        self.meddle(out_and_in, 4, loses=0.5 + RESTORED, restored=LEARNED)


@with_each(ALL)
class TwoDaemons(Forwarding):
    """Two on one host, each with ports of its own."""

    def neighbour_ends(self, family, how):
        self.make_place()
        first = self.start("first", port_range=(40000, 44000))
        second = self.start("second", port_range=(45000, 49000))
        calls = {
            daemon: self.calls(
                self.proxy(daemon), CALLS, family, first=number * CALLS, prefix=daemon.name
            )
            for number, daemon in enumerate((first, second))
        }
        load = self.phones(calls[first] + calls[second])
        load.start()
        for daemon in (first, second):
            until(
                lambda d=daemon: self.flow_counts(d)[self.backend.forwarding] == CALLS,
                5,
                lambda d=daemon: f"flows: {self.flow_counts(d)}",
            )
        if self.backend.kernel:
            self.until_silent(second)
        self.assertEqual(load.report().total("lost") > 2 * CALLS, False)
        how(first)
        time.sleep(2)  # a while of media beside it
        load.pause()
        report = load.report()
        mine = {2 * call.number for call in calls[second]}
        report.streams = {n: s for n, s in report.streams.items() if n in mine}
        self.assertEqual(report.complaints(), [])
        self.assert_counted(second, calls[second], report)
        self.assertEqual(self.flow_counts(second)[self.backend.forwarding], CALLS)
        second.stop()

    def test_one_that_stops_does_not_hurt_the_other_ipv4(self):
        self.neighbour_ends(4, lambda daemon: daemon.stop())

    def test_one_that_stops_does_not_hurt_the_other_ipv6(self):
        self.neighbour_ends(6, lambda daemon: daemon.stop())

    def test_one_that_is_killed_and_comes_back_does_not_hurt_the_other(self):
        def again(daemon):
            daemon.kill()
            daemon.start()

        self.neighbour_ends(4, again)


@with_each(KERNEL)
class Leftovers(Forwarding):
    """What a daemon leaves in the kernel."""

    def test_nothing_is_left_after_an_ordinary_stop(self):
        self.make_place()
        before = self.place.sysctls()
        daemon = self.start()
        proxy = self.proxy(daemon)
        calls = self.calls(proxy, CALLS)
        load = self.phones(calls)
        load.start()
        self.until_forwarded(daemon, CALLS)
        self.assertNotEqual(self.place.tables(), [])
        daemon.stop()
        self.assertEqual(self.place.tables(), [])
        self.assertEqual(self.place.sysctls(), before)
        left = run_in("relay", "conntrack", "-L", "-p", "udp").splitlines()
        ours = [line for line in left if "zone=" in line or "[ASSURED]" in line]
        self.assertEqual(ours, [])  # others are of packets that come after the stop

    def test_a_killed_daemons_flows_are_gone_when_the_next_one_starts(self):
        self.flows_are_gone_for(self.backend.forwarding)

    def test_they_are_gone_for_one_that_forwards_by_itself(self):
        self.flows_are_gone_for("userspace")

    def test_they_are_gone_for_one_that_has_no_back_end(self):
        self.flows_are_gone_for("none")

    def flows_are_gone_for(self, forwarding):
        """One is killed, and the next one has this setting of `forwarding`."""
        self.make_place()
        before = self.place.sysctls()
        daemon = self.start()
        calls = self.calls(self.proxy(daemon), CALLS)
        load = self.phones(calls)
        load.start()
        self.until_forwarded(daemon, CALLS)
        daemon.kill()
        daemon.settings["relay"]["forwarding"] = forwarding
        daemon.start()
        load.pause()
        self.assertEqual(sum(self.flow_counts(daemon).values()), 0)
        if forwarding != self.backend.forwarding:
            self.assertEqual(self.place.tables(), [])
            self.assertEqual(self.place.sysctls(), before, "what the dead one had set stays set")
        received = load.report().total("received")
        load.start()
        sent = load.report().total("sent")
        load.until_sent(sent + 20 * CALLS, 5)
        load.pause()
        self.assertEqual(load.report().total("received"), received, "a dead call is forwarded")
        daemon.stop()
        self.assertEqual(self.place.tables(), [])
        self.assertEqual(self.place.sysctls(), before, "what the dead one had set stays set")
