# SPDX-License-Identifier: GPL-2.0-or-later
"""What carries the packets of the calls: the kernel's routing, each of our back ends, rtpengine."""
import contextlib
import os
import resource
import signal
import struct
import subprocess
import time

from lab import netns
from lab.daemon import Daemon, free_port
from wire.calls import Call

from .rtpengine import Rtpengine


class Routing:
    """Plain ip_forward: the phones talk to each other. What any relay is measured against."""

    pids = ()

    def __init__(self, ground, early_demux):
        self.name = "ip_forward" if early_demux else "ip_forward*"
        self._place, self._early_demux = ground.place, early_demux

    def start(self, count):
        self._place.set("net.ipv4.ip_forward", 1)
        self._place.set("net.ipv4.udp_early_demux", int(self._early_demux))
        calls = [Call(self._place, number) for number in range(count)]
        return [(call.number, call.caller, call.callee, call.callee, call.caller) for call in calls]

    def ready(self):
        return True

    def stop(self):
        self._place.set("net.ipv4.ip_forward", 0)
        self._place.set("net.ipv4.udp_early_demux", 1)


class Ours:
    """A daemon that forwards with one back end."""

    def __init__(self, backend, ground, folder):
        self.name, self._place, self._folder = backend, ground.place, folder
        # One core is the relay's, for its NAPI threads too: one thread, as rtpengine has.
        self._table = {
            "netdev": {"netdev": {"plugin": "nftables", "devices": ground.place.devices}},
            "userspace": {"userspace": {"threads": 1}},
        }.get(backend, {})
        self._daemon = self._proxy = None
        self._count = 0

    @property
    def pids(self):
        return (self._daemon.pid,)

    def start(self, count, wrapper=()):
        """`wrapper` is a command that runs the daemon."""
        self._count = count
        self._daemon = Daemon(self.name, self._folder, {
            "role": "both",
            "log": {"level": "WARNING"},
            "dispatcher": {
                "socket_path": "dispatcher.sock", "listen": [], "accounting": [],
                "management": {"listen": f"127.0.0.1:{free_port('relay')}", "use_tls": False},
            },
            "relay": {
                "relay_ip": [self._place.relay[4]], "port_range": "20000:60000",
                "routable_private_ranges": self._place.ranges, "forwarding": self.name,
            },
            "forwarding": self._table,
        }, place="relay").start(prepare=allow_many_descriptors, wrapper=wrapper)
        self._proxy = self._daemon.connect()
        streams = []
        for number in range(count):
            call = Call(self._place, number)
            call.establish(self._proxy)
            streams.append((number, call.caller, (call.relay_address, call.to_callee),
                            call.callee, (call.relay_address, call.to_caller)))
        return streams

    @property
    def control_socket(self):
        return self._daemon.control_socket

    def ready(self):
        """Everything that was learned is where it belongs."""
        counts = self._daemon.relays()[0]["flow_count"]
        return counts.get(self.name) == self._count and counts["slow"] == 0

    def longest_wait(self, seconds):
        """Of a request that needs no relay, one every millisecond; milliseconds."""
        self._proxy.slowest = 0
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._proxy.ask_raw(b"nothing\r\n\r\n")
            time.sleep(0.001)
        return self._proxy.slowest * 1000

    @contextlib.contextmanager
    def being_asked(self, command):
        """Another process asks the management interface for it over and over; for "nothing", none."""
        if command == "nothing":
            yield
            return
        port = self._daemon.settings["dispatcher"]["management"]["listen"].rpartition(":")[2]
        loop = (f"while exec 3<>/dev/tcp/127.0.0.1/{port}; do"
                f" printf '{command}\\r\\nquit\\r\\n' >&3; cat <&3 >/dev/null; done")
        with subprocess.Popen(netns.command_in("relay", ["bash", "-c", loop]),
                              start_new_session=True) as asker:
            yield
            os.killpg(asker.pid, signal.SIGKILL)

    def stop(self):
        self._proxy.close()
        self._daemon.stop()


class LoopTurns:
    """How long a daemon's core thread is held by one turn of its loop, told by a preloaded library."""

    def __init__(self, library, folder):
        self._library, self._file = library.resolve(), folder / "loop-turns"
        self.reset()

    @property
    def wrapper(self):
        return ["env", f"LD_PRELOAD={self._library}", f"LOOP_TURNS={self._file}"]

    def reset(self):
        with open(self._file, "r+b" if self._file.exists() else "wb") as file:
            file.write(bytes(16))

    def longest(self):
        """Since the reset, milliseconds: of time, and of CPU time (of another turn, perhaps)."""
        longest = struct.unpack("=qq", self._file.read_bytes())
        if 0 in longest:
            raise SystemExit(f"{self._library} has seen no turn of the daemon's loop")
        return [ns / 1e6 for ns in longest]


class Peer:
    """rtpengine of Debian, in user space."""

    name = "rtpengine"

    def __init__(self, ground, folder):
        self._place, self._folder = ground.place, folder
        self._engine = None

    @property
    def pids(self):
        return (self._engine.pid,)

    def start(self, count):
        address = self._place.relay[4]
        self._engine = Rtpengine(address, self._folder / "rtpengine.log")
        streams = []
        for number in range(count):
            call = Call(self._place, number)
            to_callee, to_caller = self._engine.call(number, call.caller, call.callee)
            streams.append((number, call.caller, (address, to_callee), call.callee,
                            (address, to_caller)))
        return streams

    def ready(self):
        return True

    def stop(self):
        self._engine.stop()


def allow_many_descriptors():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def all_of(ground, folder):
    return [Routing(ground, early_demux=True), Routing(ground, early_demux=False),
            *(Ours(name, ground, folder) for name in ("nftables", "netdev", "conntrack", "userspace")),
            Peer(ground, folder)]
