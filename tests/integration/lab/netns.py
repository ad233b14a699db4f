# SPDX-License-Identifier: GPL-2.0-or-later
"""Namespaces: a run has mounts, processes and networks of its own, which end with it.

    alice 10.91.1.2 ---- 10.91.1.1 proxy 10.91.2.1 ---- 10.91.2.2 bob
          fd91:1::2      fd91:1::1   |   fd91:2::1      fd91:2::2
                                 10.91.0.1, fd91::1: SIP proxy and relay

Nothing is forwarded between alice and bob: media that arrives went through the relay.
"""
import contextlib
import ctypes
import os
import pathlib
import socket
import subprocess
import sys

PROXY = {4: "10.91.0.1", 6: "fd91::1"}
ALICE = {4: "10.91.1.2", 6: "fd91:1::2"}
BOB = {4: "10.91.2.2", 6: "fd91:2::2"}

_HOUSE = ("proxy", "alice", "bob")
_libc = ctypes.CDLL(None, use_errno=True)
_ISOLATED = "MEDIAPROXY_TEST_ISOLATED"


def isolate():
    """Starts this program again inside namespaces of its own; returns only there.

    All that a test starts or makes ends with the program, however it ends. Needs root, or a
    kernel that lets users make namespaces.
    """
    if os.environ.get(_ISOLATED):
        del os.environ[_ISOLATED]
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", "/run"], check=True)
        os.mkdir("/run/netns")
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        return
    command = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        command[1:1] = ["--user", "--map-root-user"]
    if (
        subprocess.run(
            [*command, "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ).returncode
        != 0
    ):
        why = (
            "run it as root (sudo)"
            if os.geteuid() != 0
            else "this container needs the privilege to make them"
        )
        sys.exit(f"These tests make network namespaces, which is not allowed here: {why}.")
    environment = dict(os.environ, **{_ISOLATED: "1"})
    os.execvpe("unshare", [*command, sys.executable, *sys.argv], environment)


def _ip(*words):
    subprocess.run(["ip", *words], check=True)


def remove_house():
    """Takes away what make_house() made."""
    for name in _HOUSE:
        _ip("netns", "del", name)


def make_house():
    """Makes the namespaces of the picture above."""
    for name in _HOUSE:
        _ip("netns", "add", name)
        _ip("-n", name, "link", "set", "lo", "up")
    for address in PROXY.values():
        _ip("-n", "proxy", "addr", "add", address, "dev", "lo")
    for place, name in ((1, "alice"), (2, "bob")):
        _ip(
            "link",
            "add",
            name,
            "netns",
            "proxy",
            "type",
            "veth",
            "peer",
            "name",
            "eth0",
            "netns",
            name,
        )
        for where, device, last in (("proxy", name, 1), (name, "eth0", 2)):
            _ip("-n", where, "addr", "add", f"10.91.{place}.{last}/24", "dev", device)
            _ip("-n", where, "addr", "add", f"fd91:{place}::{last}/64", "dev", device, "nodad")
            _ip("-n", where, "link", "set", device, "up")
        _ip("-n", name, "route", "add", "default", "via", f"10.91.{place}.1")
        _ip("-n", name, "-6", "route", "add", "default", "via", f"fd91:{place}::1")


@contextlib.contextmanager
def inside(name):
    """This thread is in the namespace; sockets made meanwhile stay there."""
    if name is None:
        yield
        return
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    away = os.open("/run/netns/" + name, os.O_RDONLY)
    try:
        if _libc.setns(away, 0) != 0:
            raise OSError(ctypes.get_errno(), "cannot enter the namespace " + name)
        yield
    finally:
        _libc.setns(home, 0)
        os.close(home)
        os.close(away)


def command_in(name, command):
    """The command line that runs `command` in the namespace (None: in this one)."""
    return command if name is None else ["ip", "netns", "exec", name, *command]


def udp_socket(name, address):
    with inside(name):
        sock = socket.socket(
            socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM
        )
        sock.bind((address, 0))
        return sock


def count(name, *counters):
    """The sum of a namespace's counters of /proc/net/snmp and snmp6, e.g. "Udp6.InDatagrams"."""
    with inside(name):
        four = pathlib.Path("/proc/thread-self/net/snmp").read_text(encoding="ascii")
        six = pathlib.Path("/proc/thread-self/net/snmp6").read_text(encoding="ascii")
    lines = [line.split() for line in four.splitlines()]
    values = {
        f"{heading[0].rstrip(':')}.{key}": int(value)
        for heading, line in zip(lines[::2], lines[1::2])
        for key, value in zip(heading[1:], line[1:])
    }
    for key, value in (line.split() for line in six.splitlines()):
        for protocol in ("Udp6", "Ip6", "Icmp6"):
            if key.startswith(protocol):
                values[f"{protocol}.{key.removeprefix(protocol)}"] = int(value)
    return sum(values[counter] for counter in counters)
