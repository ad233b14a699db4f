# SPDX-License-Identifier: GPL-2.0-or-later
"""A system that does not let a back end forward: another one does, and the log says why."""
from lab.daemon import until
from wire import fill
from wire.backends import CONNTRACK, KERNEL, NFTABLES, USERSPACE, with_each
from wire.case import PORT_RANGE, Forwarding, story
from wire.place import run_in

CALLS = 20
FIREWALL_SEEN = 12  # seconds within which a new firewall is noticed
WITHOUT_NET_ADMIN = ("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin")
# /proc/sys is read-only, as in most containers.
READ_ONLY_SYSCTLS = (
    *("unshare", "--mount", "sh", "-c"),
    'mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys && exec "$@"',
    "read-only",
)
FIREWALL = """table inet firewall {
    chain forward { type filter hook forward priority 0; policy drop; }
}"""


# What a careful administrator writes: only what is known passes, only the relay's ports are open.
STATEFUL_FIREWALL = """table inet firewall {
    chain input { type filter hook input priority 0; policy drop;
        iif lo accept
        meta l4proto { icmp, icmpv6 } accept
        ct state established,related accept
        udp dport 40000-49999 accept
    }
    chain forward { type filter hook forward priority 0; policy drop;
        ct state invalid drop
        ct state established,related accept
    }
}"""
# So that the test can still ask the daemon when nothing new is tracked.
LOOPBACK_UNTRACKED = """table inet loopback {
    chain in { type filter hook prerouting priority raw - 20; iif lo notrack; }
    chain out { type filter hook output priority raw - 20; oif lo notrack; }
}"""


class Fallback(Forwarding):
    """The back end is the first of a list, the second is `userspace`."""

    def start_with_userspace(self, **options):
        wanted = list(dict.fromkeys([self.backend.forwarding, "userspace"]))
        return self.start(forwarding=wanted, **options)

    def carried(self, daemon, path, family=4, count=CALLS):
        """Calls, carried whole on that path; "slow" is the daemon itself."""
        proxy = self.proxy(daemon)
        calls = self.calls(proxy, count, family)
        load = self.phones(calls)
        load.start()
        until(
            lambda: self.flow_counts(daemon).get(path) == count,
            5,
            lambda: f"flows: {self.flow_counts(daemon)}, not {count} of {path}: {story(daemon)}",
        )
        sent = load.report().total("sent")
        load.until_sent(sent + 50 * count, 5)
        self.assertEqual(self.flow_counts(daemon).get(path), count)
        load.pause()
        self.assert_counted(daemon, calls, self.assert_media_whole(load))

    def warned(self, daemon, *words):
        self.assertTrue(
            [line for line in daemon.logged(*words) if " WARNING " in line],
            f"no warning that says {words}: {story(daemon)}",
        )


@with_each(KERNEL)
class Privileges(Fallback):
    def test_without_net_admin_the_next_back_end_serves(self):
        self.make_place()
        daemon = self.start_with_userspace(wrapper=WITHOUT_NET_ADMIN)
        self.warned(daemon, self.backend.forwarding, "CAP_NET_ADMIN")
        self.carried(daemon, "userspace")
        self.assertEqual(self.place.get("net.ipv4.ip_forward"), "0")
        self.assertEqual(self.place.tables(), [])
        daemon.stop()

    def test_where_nothing_may_be_set_the_next_back_end_serves(self):
        """On devices nothing needs to be set."""
        self.make_place()
        daemon = self.start_with_userspace(wrapper=READ_ONLY_SYSCTLS)
        if self.backend.netdev:
            self.carried(daemon, self.backend.forwarding)
        else:
            self.warned(daemon, self.backend.forwarding, "must be 1, but it cannot be written")
            self.carried(daemon, "userspace")
        self.assertEqual(self.place.get("net.ipv4.ip_forward"), "0")
        daemon.stop()
        self.assertEqual(self.place.tables(), [], "a back end that was given up left a table")


@with_each((*KERNEL, USERSPACE))
class Firewall(Fallback):
    """A forward chain that drops what it does not know."""

    def raise_firewall(self, rules=FIREWALL):
        run_in("relay", "nft", "-f", "-", given=rules)

    def firewall_was_there(self, family, rules=FIREWALL, blocks=(NFTABLES, CONNTRACK)):
        """It blocks what these back ends forward."""
        self.make_place()
        self.raise_firewall(rules)
        daemon = self.start_with_userspace()
        if self.backend in blocks:
            self.warned(daemon, "forward", "drop")
        proxy = self.proxy(daemon)
        calls = self.calls(proxy, CALLS, family)
        load = self.phones(calls)
        load.start()
        load.until_sent(100 * CALLS, 10)
        load.pause()
        report = self.assert_media_whole(load)
        self.assert_counted(daemon, calls, report)
        if self.backend not in blocks:
            self.assertEqual(self.flow_counts(daemon)[self.backend.forwarding], CALLS)
        daemon.stop()

    def test_a_firewall_costs_no_media_ipv4(self):
        self.firewall_was_there(4)

    def test_a_firewall_costs_no_media_ipv6(self):
        self.firewall_was_there(6)

    def test_a_stateful_firewall_costs_no_media_ipv4(self):
        self.firewall_was_there(4, STATEFUL_FIREWALL, blocks=(NFTABLES,))

    def test_a_stateful_firewall_costs_no_media_ipv6(self):
        self.firewall_was_there(6, STATEFUL_FIREWALL, blocks=(NFTABLES,))

    def test_a_firewall_that_is_raised_later_is_noticed(self):
        """What was forwarded already is lost until then: back ends look every ten seconds at most."""
        self.make_place()
        daemon = self.start_with_userspace()
        proxy = self.proxy(daemon)
        calls = self.calls(proxy, CALLS)
        load = self.phones(calls)
        load.start()
        until(
            lambda: self.flow_counts(daemon).get(self.backend.forwarding) == CALLS,
            5,
            lambda: f"flows: {self.flow_counts(daemon)}: {story(daemon)}",
        )
        self.raise_firewall()
        self.heal(load, allowed=FIREWALL_SEEN)
        if self.backend.kernel and not self.backend.netdev:
            self.warned(daemon, "forward", "drop")
        load.pause()
        self.assertEqual(load.report().total("wrong_source"), 0)
        self.assertEqual(len(daemon.sessions()), CALLS)
        daemon.stop()


@with_each((NFTABLES, CONNTRACK))
class FirewallThatGoes(Fallback):
    def test_when_a_firewall_goes_streams_are_forwarded_again(self):
        """The back end had none any more, and yet it notices."""
        self.make_place()
        daemon = self.start()
        load = self.phones(self.calls(self.proxy(daemon), CALLS))
        load.start()
        self.until_forwarded(daemon, CALLS)
        run_in("relay", "nft", "-f", "-", given=FIREWALL)
        until(
            lambda: self.flow_counts(daemon)["slow"] == CALLS,
            FIREWALL_SEEN,
            lambda: f"flows: {self.flow_counts(daemon)}: {story(daemon)}",
        )
        run_in("relay", "nft", "delete", "table", "inet", "firewall")
        self.until_forwarded(daemon, CALLS, patience=FIREWALL_SEEN)
        load.pause()
        daemon.stop()


@with_each((CONNTRACK,))
class Conntrack(Fallback):
    def clash(self, family):
        """Entries for just the calls' tuples are there already, of both legs and both directions."""
        self.make_place()
        daemon = self.start_with_userspace()
        proxy = self.proxy(daemon)
        calls = self.calls(proxy, CALLS, family)
        for call in calls:
            for phone, port in ((call.caller, call.to_callee), (call.callee, call.to_caller)):
                for source, target in (
                    (phone, (call.relay_address, port)),
                    ((call.relay_address, port), phone),
                )[:: 1 if call.number % 2 else -1]:
                    words = ("-I", "-p", "udp", "--timeout", "600")
                    ends = ("-s", source[0], "--sport", source[1])
                    ends += ("-d", target[0], "--dport", target[1])
                    run_in("relay", "conntrack", *words, *ends)
                    break
        load = self.phones(calls)
        load.start()
        self.until_forwarded(daemon, CALLS)
        load.pause()
        self.assert_counted(daemon, calls, self.assert_media_whole(load))
        daemon.stop()

    def test_entries_that_clash_ipv4(self):
        self.clash(4)

    def test_entries_that_clash_ipv6(self):
        self.clash(6)

    def test_a_full_table_costs_no_media(self):
        """Calls that are forwarded stay so; new ones stay with the daemon, and the log says why.

        The kernel drops what it can no longer track: so the relay's ports are told not to be.
        """
        self.make_place()
        run_in("relay", "nft", "-f", "-", given=LOOPBACK_UNTRACKED)
        ports = {"conntrack": {"untracked_ports": "{}:{}".format(*PORT_RANGE)}}
        daemon = self.start_with_userspace(changes={"forwarding": ports})
        proxy = self.proxy(daemon)
        old = self.calls(proxy, CALLS)
        load = self.phones(old)
        load.start()
        self.until_forwarded(daemon, CALLS)
        fill.fill("relay")
        new = self.calls(proxy, CALLS, first=CALLS)
        others = self.phones(new)
        others.start()
        sent = others.report().total("sent")
        others.until_sent(sent + 100 * CALLS, 10)
        counts = self.flow_counts(daemon)
        load.pause()
        others.pause()
        self.assert_counted(daemon, old, self.assert_media_whole(load))
        self.assert_counted(daemon, new, self.assert_media_whole(others))
        self.assertEqual(counts, {"conntrack": CALLS, "slow": CALLS})
        self.warned(daemon, "conntrack", "full")
        daemon.stop()
