# SPDX-License-Identifier: GPL-2.0-or-later
"""The networks of a test: a relay between the phones' namespaces, which are alice and bob.

    alice 10.92.1.2 ---- 10.92.1.1 relay 10.92.2.1 ---- 10.92.2.2 bob
          fd92:1::2      fd92:1::1   |   fd92:2::1      fd92:2::2
                                10.92.0.1, fd92::1

or one-armed, all in one network behind a switch, the relay at 10.92.1.1 and fd92:1::1, bob at
10.92.1.3 and fd92:1::3. The relay is everybody's default gateway, and does not forward at first.
Nothing is offloaded: every checksum is computed, and verified by whoever receives.
"""
import contextlib
import json
import pathlib
import subprocess

from lab import netns

NAMES = ("relay", "alice", "bob", "switch")
FORWARDING = ("ip_forward", "forwarding", "accept_local", "rp_filter", "send_redirects",
              "udp_early_demux")


def run(*command, given=None):
    """The output of a program that must succeed."""
    done = subprocess.run(
        [str(word) for word in command],
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {done.stderr.strip()}")
    return done.stdout


def run_in(name, *command, given=None):
    return run("ip", "netns", "exec", name, *command, given=given)


class Place:
    """The namespaces; close() takes them away."""

    relay_device = {"alice": "to-alice", "bob": "to-bob"}

    def __init__(self, one_armed=False):
        self.one_armed = one_armed
        if one_armed:
            self.relay = {4: "10.92.1.1", 6: "fd92:1::1"}
            self.bob = {4: "10.92.1.3", 6: "fd92:1::3"}
            self.relay_device = {"alice": "lan", "bob": "lan"}
        else:
            self.relay = {4: "10.92.0.1", 6: "fd92::1"}
            self.bob = {4: "10.92.2.2", 6: "fd92:2::2"}
        self.alice = {4: "10.92.1.2", 6: "fd92:1::2"}
        self.ranges = ["10.92.0.0/16", "fd92::/16"]

    @property
    def devices(self):
        """The relay's, towards phones."""
        return sorted(set(self.relay_device.values()))

    def make(self):
        self.close()
        for name in NAMES:
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
            # A new namespace takes these from the machine, which may have any.
            self.set("net.ipv4.ip_forward", 0, name)
            for which in ("all", "default"):
                for key, value in (("accept_local", 0), ("rp_filter", 0), ("send_redirects", 1)):
                    self.set(f"net.ipv4.conf.{which}.{key}", value, name)
            self.set("net.ipv6.conf.default.accept_dad", 0, name)
            self.set("net.ipv6.conf.default.router_solicitations", 0, name)
        self._make_one_armed() if self.one_armed else self._make_two_armed()
        self._introduce()
        return self

    def close(self):
        for name in NAMES:
            if pathlib.Path("/run/netns", name).exists():
                run("ip", "netns", "del", name)

    def _link(self, first, device, second, other):
        """A cable; nothing about it is offloaded."""
        words = ("type", "veth", "peer", "name", other, "netns", second)
        run("ip", "link", "add", device, "netns", first, *words)
        for name, end in ((first, device), (second, other)):
            features = ("rx", "off", "tx", "off", "tso", "off", "gso", "off")
            run_in(name, "ethtool", "-K", end, *features)
            run("ip", "-n", name, "link", "set", end, "up")

    @staticmethod
    def _address(name, device, *addresses):
        for address in addresses:
            extra = ("nodad",) if ":" in address else ()
            run("ip", "-n", name, "addr", "add", address, "dev", device, *extra)

    @staticmethod
    def _gateway(name, four, six):
        run("ip", "-n", name, "route", "add", "default", "via", four)
        run("ip", "-n", name, "-6", "route", "add", "default", "via", six)

    def _make_two_armed(self):
        self._address("relay", "lo", "10.92.0.1/32", "fd92::1/128")
        self.connect("alice")
        self.connect("bob")

    def connect(self, name):
        """The cable between the relay and alice or bob, with the addresses on it."""
        number = {"alice": 1, "bob": 2}[name]
        self._link("relay", f"to-{name}", name, "eth0")
        self._address("relay", f"to-{name}", f"10.92.{number}.1/24", f"fd92:{number}::1/64")
        self._address(name, "eth0", f"10.92.{number}.2/24", f"fd92:{number}::2/64")
        self._gateway(name, f"10.92.{number}.1", f"fd92:{number}::1")

    def _make_one_armed(self):
        run("ip", "-n", "switch", "link", "add", "bridge", "type", "bridge")
        run("ip", "-n", "switch", "link", "set", "bridge", "up")
        for last, (name, device) in enumerate(
            (("relay", "lan"), ("alice", "eth0"), ("bob", "eth0")), start=1
        ):
            self._link(name, device, "switch", f"to-{name}")
            run("ip", "-n", "switch", "link", "set", f"to-{name}", "master", "bridge")
            self._address(name, device, f"10.92.1.{last}/24", f"fd92:1::{last}/64")
            if name != "relay":
                self._gateway(name, "10.92.1.1", "fd92:1::1")

    def _introduce(self):
        """Everybody's neighbours are known, so that no first packet waits for them."""
        for name in ("alice", "bob"):
            for family, address in self.relay.items():
                phone = getattr(self, name)[family]
                with contextlib.ExitStack() as sockets:
                    ends = [
                        sockets.enter_context(contextlib.closing(netns.udp_socket(*end)))
                        for end in ((name, phone), ("relay", address))
                    ]
                    for end, other in (ends, ends[::-1]):
                        end.sendto(b"", other.getsockname()[:2])
                        other.settimeout(5)
                        other.recvfrom(1)

    def set_mtu(self, size):
        """The longest packet, in bytes, of every cable."""
        for name in ("alice", "bob"):
            run("ip", "-n", name, "link", "set", "eth0", "mtu", size)
            run("ip", "-n", "relay", "link", "set", self.relay_device[name], "mtu", size)

    # What the relay's kernel has done.

    def set(self, key, value, name="relay"):
        """Sets a sysctl."""
        with netns.inside(name):
            self.sysctl(key).write_text(str(value), encoding="ascii")

    def get(self, key, name="relay"):
        with netns.inside(name):
            return self.sysctl(key).read_text(encoding="ascii").strip()

    @staticmethod
    def sysctl(key):
        """Its file, for a thread that is in the namespace."""
        return pathlib.Path("/proc/sys", *key.split("."))

    def delivered(self):
        """Datagrams that the relay's sockets were given: those that the kernel did not forward."""
        return netns.count("relay", "Udp.InDatagrams", "Udp6.InDatagrams")

    def routed(self):
        """Packets that the relay's kernel forwarded by its routes (a netdev hook's are not seen)."""
        return netns.count("relay", "Ip.ForwDatagrams", "Ip6.OutForwDatagrams")

    def sysctls(self):
        """Every sysctl of the relay's that may decide on forwarding."""
        with netns.inside("relay"):
            folders = [pathlib.Path("/proc/sys/net") / name for name in ("ipv4", "ipv6")]
            files = [f for folder in folders for f in folder.rglob("*") if f.name in FORWARDING]
            files.append(pathlib.Path("/proc/sys/net/netfilter/nf_conntrack_acct"))
            return {str(file): file.read_text(encoding="ascii").strip() for file in files}

    @staticmethod
    def tables():
        """The relay's nftables tables: (family, name)."""
        listed = json.loads(run_in("relay", "nft", "-j", "list", "tables"))["nftables"]
        return [(t["table"]["family"], t["table"]["name"]) for t in listed if "table" in t]
