# SPDX-License-Identifier: GPL-2.0-or-later
"""One mediaproxyd: its configuration, its process, and what can be asked of it."""
import contextlib
import copy
import json
import os
import pathlib
import random
import signal
import socket
import sqlite3
import subprocess
import time

from . import netns

# Set by the runner.
EXECUTABLE = None
PLUGINS = None


def toml(settings, path=()):
    """Nested dicts as TOML: plain values first, then a table for each dict."""
    lines = [f"[{'.'.join(path)}]"] if path else []
    lines += [
        f"{key} = {json.dumps(value)}"
        for key, value in settings.items()
        if not isinstance(value, dict)
    ]
    for key, value in settings.items():
        if isinstance(value, dict):
            lines += ["", toml(value, (*path, key))]
    return "\n".join(lines)


def merged(settings, changes):
    """`settings` with `changes` laid over it, table by table; a value None takes a setting away."""
    result = dict(settings)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = value
    return result


def free_port(place=None, address="127.0.0.1"):
    """A TCP port that is free now; nobody else lives in our namespaces.

    It is none of those that the kernel gives to sockets that ask for no number, and below the ports
    of our relays: a relay sends no media to a control address, so no phone may get its number.
    """
    with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
        first_given = int(file.read().split()[0])
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    while True:
        port = random.randrange(10000, first_given)
        with netns.inside(place), socket.socket(family) as sock:
            try:
                sock.bind((address, port))
            except OSError:
                continue  # somebody has it
            return port


def until(look, patience, failure):
    """The first true value of look(), asked again and again; else `failure`, or what it gives."""
    deadline = time.monotonic() + patience
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(failure() if callable(failure) else failure)
        time.sleep(0.01)


class Daemon:
    """A mediaproxyd in a folder of its own, in the namespace `place` (None: the runner's)."""

    def __init__(self, name, folder, settings, place=None):
        self.name, self.place = name, place
        self.folder = pathlib.Path(folder) / name
        self.folder.mkdir(exist_ok=True)
        self.config = self.folder / "mediaproxyd.toml"
        self.log = self.folder / "log"
        self.settings = merged(
            {
                "plugin_dir": str(PLUGINS),
                "runtime_dir": str(self.folder),
                "state_dir": str(self.folder),
                "log": {"level": "DEBUG"},
                # Peers on loopback, where no kernel back end forwards anything.
                "relay": {"forwarding": "userspace"},
            },
            copy.deepcopy(settings),
        )
        records = self.settings.get("accounting", {}).get("sqlite")
        if records:  # for the tests, which are elsewhere
            self.settings["accounting"]["sqlite"]["path"] = str(self.folder / records["path"])
        self.process = None

    @property
    def control_socket(self):
        return pathlib.Path(
            self.settings["runtime_dir"], self.settings["dispatcher"]["socket_path"]
        )

    @property
    def pid(self):
        return self.process.pid

    def launch(self, *, arguments=(), prepare=None, wrapper=()):
        """Starts the process and does not wait.

        `prepare` runs in it before the program; `wrapper` is a command that runs the program.
        """
        self.config.write_text(toml(self.settings))
        command = [*wrapper, str(EXECUTABLE), "--config", str(self.config), "--no-fork", *arguments]
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                netns.command_in(self.place, command),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=prepare,
            )
        return self

    def start(self, **options):
        """Starts it and waits until it serves."""
        self.launch(**options)
        until(self.serves, 10, lambda: f"{self.name} does not serve: {self.tail()}")
        return self

    def serves(self):
        if self.process.poll() is not None:
            raise AssertionError(f"{self.name} ended with {self.process.returncode}: {self.tail()}")
        if "dispatcher" not in self.settings:
            return True
        try:
            Connection(self.control_socket).close()
            return bool(self.manage("version"))
        except OSError:
            return False

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def resume(self):
        if self.alive():
            self.process.send_signal(signal.SIGCONT)

    def wait(self, patience):
        """Its exit status, once it has ended by itself."""
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end: {self.tail()}") from None

    def stop(self):
        """Ends it as an operator would; whatever does not end in time is killed and reported."""
        if not self.alive():
            return
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not end on SIGTERM: {self.tail()}") from None

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def descriptors(self):
        """How many are open, but for media sockets (all UDP ones) and SQLite's, opened at need."""
        links = set()
        for entry in os.scandir(f"/proc/{self.pid}/fd"):
            with contextlib.suppress(OSError):
                links.add((entry.name, os.readlink(entry.path)))
        media = set()
        for table in ("udp", "udp6"):
            with open(f"/proc/{self.pid}/net/{table}", encoding="ascii") as lines:
                media.update(f"socket:[{line.split()[9]}]" for line in list(lines)[1:])
        return sum(link not in media and ".sqlite" not in link for _, link in links)

    def tail(self):
        return self.log.read_text(errors="replace")[-2000:]

    def logged(self, *words):
        """The log lines that hold all of these words, in any case."""
        return [
            line
            for line in self.log.read_text(errors="replace").splitlines()
            if all(word.lower() in line.lower() for word in words)
        ]

    def connect(self):
        """A connection to the control socket, as one process of the SIP proxy has."""
        return Connection(self.control_socket)

    def manage(self, command):
        """The answer of the management interface: the lines before the empty one."""
        host, _, port = self.settings["dispatcher"]["management"]["listen"].rpartition(":")
        with netns.inside(self.place), contextlib.closing(
            socket.create_connection((host, int(port)), 5)
        ) as sock:
            sock.sendall(command.encode() + b"\r\n")
            answer = b""
            while not (answer.endswith(b"\r\n\r\n") or answer == b"\r\n"):
                news = sock.recv(65536)
                if not news:
                    raise ConnectionError(f"the management connection ended after {answer!r}")
                answer += news
            return answer.decode().split("\r\n")[:-2]

    def sessions(self):
        return [json.loads(line) for line in self.manage("sessions")]

    def relays(self):
        return [json.loads(line) for line in self.manage("summary")]

    def rows(self, call_id=None):
        """The accounting rows: (call_id, from_tag, to_tag, the statistics)."""
        path = pathlib.Path(self.settings["accounting"]["sqlite"]["path"])
        if not path.exists():
            return []
        with contextlib.closing(
            sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)
        ) as database:
            try:
                rows = database.execute(
                    "select call_id, from_tag, to_tag, info from media_sessions"
                ).fetchall()
            except sqlite3.OperationalError:  # the table is not made yet
                return []
        return [
            (*row[:3], json.loads(row[3])) for row in rows if call_id is None or row[0] == call_id
        ]


class Connection:
    """One connection to a control socket: what the proxy's module writes and reads."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(5)
        try:
            self.sock.connect(str(path))
        except OSError:
            self.sock.close()
            raise
        self.slowest = 0.0  # seconds that the slowest answer took

    def close(self):
        self.sock.close()

    def ask(self, command, **headers):
        """Sends a request as Kamailio writes it; the answer without its CRLF."""
        lines = [command, *(f"{name}: {value}" for name, value in headers.items()), "", ""]
        return self.ask_raw("\r\n".join(lines).encode())

    def ask_raw(self, data):
        begin = time.monotonic()
        self.sock.sendall(data)
        answer = b""
        while not answer.endswith(b"\r\n"):
            news = self.sock.recv(4096)
            if not news:
                raise ConnectionError(f"the dispatcher closed the connection after {answer!r}")
            answer += news
        self.slowest = max(self.slowest, time.monotonic() - begin)
        return answer[:-2].decode()

    def update(
        self,
        call_id,
        media,
        *,
        kind="request",
        cseq=1,
        from_tag="A",
        to_tag="",
        signaling_ip="127.0.0.1",
        **more,
    ):
        headers = dict(
            type=kind,
            dialog_id="",
            call_id=call_id,
            cseq=cseq,
            from_uri="alice@example.com",
            to_uri="bob@example.net",
            from_tag=from_tag,
            to_tag=to_tag,
            user_agent="Phone",
            signaling_ip=signaling_ip,
            media_relay="",
            media=media,
        )
        headers.update(more)
        return self.ask("update", **headers)

    def remove(self, call_id, from_tag="A", to_tag="B"):
        return self.ask("remove", call_id=call_id, from_tag=from_tag, to_tag=to_tag)
