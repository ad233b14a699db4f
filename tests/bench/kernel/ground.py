# SPDX-License-Identifier: GPL-2.0-or-later
"""The ground of the measurements: namespaces, one core for the relay and one for everybody else."""
import os
import pathlib
import subprocess
import sys

from lab import netns
from wire.place import Place, run_in

RELAY_CPU, OTHERS_CPU = 1, 0
_ISOLATED = "MEDIAPROXY_BENCH_ISOLATED"


def isolate():
    """Starts this program again with a network and mounts of its own; returns only there.

    The process ids stay those of the host: the kernel's NAPI threads have to be seen.
    """
    if os.environ.pop(_ISOLATED, None):
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        os.mkdir("/run/netns")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    if os.geteuid() != 0 or os.cpu_count() < 2:
        sys.exit("The forwarding benchmark needs root and two processors.")
    os.execvpe(
        "unshare",
        ["unshare", "--net", "--mount", sys.executable, *sys.argv],
        dict(os.environ, **{_ISOLATED: "1"}),
    )


def cpu_ns(pid):
    """Nanoseconds that all threads of a process have run."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text(encoding="ascii").split()[0])
    return total


def pin(pid, cpu):
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), {cpu})


def _napi_threads(device):
    prefix = f"napi/{device}-"
    return {
        int(comm.parent.name)
        for comm in pathlib.Path("/proc").glob("[0-9]*/comm")
        if _name(comm).startswith(prefix)
    }


def _name(comm):
    try:
        return comm.read_text(encoding="ascii", errors="replace")
    except OSError:  # it has ended
        return ""


class Ground:
    """alice -- relay -- bob, their packets polled by threads whose time can be told."""

    def __init__(self):
        self.place = Place().make()
        self.relay_threads = []
        for name, device in (("relay", "to-alice"), ("relay", "to-bob"), ("alice", "eth0"),
                             ("bob", "eth0")):
            before = _napi_threads(device)
            run_in(name, "ethtool", "-K", device, "gro", "on")
            self._write(name, device, "threaded", 1)
            for thread in _napi_threads(device) - before:
                os.sched_setaffinity(thread, {RELAY_CPU if name == "relay" else OTHERS_CPU})
                if name == "relay":
                    self.relay_threads.append(thread)
        if len(self.relay_threads) != 2:
            raise SystemExit("the relay's devices have no NAPI threads")
        # Streams that nobody listens to must not be answered by ICMP.
        run_in("bob", "nft", "-f", "-", given=(
            "table netdev sink { chain swallow { type filter hook ingress device eth0 priority 0;"
            " policy accept; meta l4proto udp drop; }; }"))
        self.sink(False)

    @staticmethod
    def _write(name, device, attribute, value):
        run_in(name, "sh", "-c", f"echo {value} >/sys/class/net/{device}/{attribute}")

    def sink(self, on):
        """bob takes no UDP any more (what arrived is still counted), or does."""
        run_in("bob", "nft", "flush chain netdev sink swallow")
        if on:
            run_in("bob", "nft", "add rule netdev sink swallow meta l4proto udp drop")

    def kernel_ns(self):
        return sum(cpu_ns(thread) for thread in self.relay_threads)

    @staticmethod
    def left_for_bob():
        """Packets that have left the relay towards bob."""
        with netns.inside("relay"):
            table = pathlib.Path("/proc/thread-self/net/dev").read_text(encoding="ascii")
        for line in table.splitlines():
            device, _, counters = line.strip().partition(":")
            if device == "to-bob":
                return int(counters.split()[9])
        raise SystemExit("the device to-bob is gone")
