# SPDX-License-Identifier: GPL-2.0-or-later
"""Daemons for benchmarks: made in a temporary folder, started, looked at, stopped."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.append(str(ROOT / "tests/integration"))

from lab.daemon import free_port  # noqa: E402


def await_true(look, seconds, failure):
    until = time.monotonic() + seconds
    while not look():
        if time.monotonic() > until:
            raise SystemExit(failure)
        time.sleep(0.02)


class Process:
    """A child with its figures from /proc."""

    def __init__(self, command, log):
        self.log = pathlib.Path(log)
        with open(log, "ab") as out:
            self.child = subprocess.Popen([str(word) for word in command], stdout=out, stderr=out)

    def alive(self):
        return self.child.poll() is None

    def resident(self):
        """Bytes of memory that are this process's own."""
        with open(f"/proc/{self.child.pid}/smaps_rollup", encoding="ascii") as lines:
            for line in lines:
                if line.startswith("Pss:"):
                    return int(line.split()[1]) * 1024
        return 0

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.child.pid}/fd"))

    def stop(self):
        if self.alive():
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(15)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()


class House:
    """A dispatcher and a relay: in one process, or split over TLS."""

    def __init__(self, folder, build, split, accounting=None, realtime=False):
        """`accounting`: the tables of its back ends by name."""
        self.realtime = realtime
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True)
        self.build = pathlib.Path(build).resolve()
        self.socket = self.folder / "dispatcher.sock"
        self.management = free_port()
        self.database = self.folder / "sessions.sqlite"
        self.answer = bytearray(1 << 22)  # of the management interface: kept, as fresh memory is slow
        subprocess.run([ROOT / "tls/make-certs", self.folder / "tls"], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        link = free_port()
        dispatcher = self.dispatcher_settings(link, accounting)
        if split:
            self.processes = [self.start("dispatcher", dispatcher),
                              self.start("relay", self.relay_settings(
                                  f'dispatchers = ["127.0.0.1:{link}"]\nreconnect_delay = 1\n'))]
        else:
            self.processes = [self.start("both", dispatcher + self.relay_settings(""))]
        await_true(self.socket.exists, 10, f"no control socket: see {self.folder}")
        await_true(lambda: '"status"' in self.ask("summary"), 20, f"no relay: see {self.folder}")

    def dispatcher_settings(self, link, accounting):
        tables = {name: dict(table) for name, table in (accounting or {}).items()}
        if "sqlite" in tables:
            tables["sqlite"].setdefault("path", str(self.database))
        text = f"""
[dispatcher]
socket_path = "{self.socket}"
listen = ["127.0.0.1:{link}"]
accounting = {json.dumps(list(tables))}
[dispatcher.management]
listen = ["127.0.0.1:{self.management}"]
use_tls = false
"""
        for name, table in tables.items():
            text += f"[accounting.{name}]\n"
            text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
        return text

    @staticmethod
    def relay_settings(more):
        return f"""
[relay]
relay_ip = ["127.0.0.1"]
port_range = "20000:60000"
routable_private_ranges = ["127.0.0.0/8"]
forwarding = "userspace"
{more}
"""

    def start(self, role, settings):
        config = self.folder / f"{role}.toml"
        config.write_text(f'role = "{role}"\nplugin_dir = "{self.build}/plugins"\n'
                          f'runtime_dir = "{self.folder}"\nstate_dir = "{self.folder}/state-{role}"\n'
                          f'realtime = {json.dumps(self.realtime)}\n'
                          f'[log]\nlevel = "warning"\n[tls]\ncerts_path = "{self.folder}/tls"\n'
                          + settings)
        (self.folder / f"state-{role}").mkdir()
        return Process([self.build / "src/mediaproxyd", "--no-fork", f"--config={config}"],
                       self.folder / f"{role}.log")

    def receive(self, command):
        """How many bytes the management interface answers to one command; they stand in `answer`."""
        with socket.create_connection(("127.0.0.1", self.management), 10) as sock:
            sock.sendall(command.encode() + b"\r\n")
            size = 0
            while True:
                if size == len(self.answer):
                    self.answer += bytes(len(self.answer))
                more = sock.recv_into(memoryview(self.answer)[size:])
                size += more
                end = self.answer[max(size - 4, 0):size]  # two bytes only of an empty list
                if not more or end == b"\r\n\r\n" or end == b"\r\n":
                    return size

    def ask(self, command):
        """The whole answer of the management interface to one command."""
        try:
            return self.answer[:self.receive(command)].decode()
        except OSError:
            return ""

    def resident(self):
        return sum(process.resident() for process in self.processes)

    def descriptors(self):
        return [process.descriptors() for process in self.processes]

    def stop(self):
        for process in reversed(self.processes):
            process.stop()
