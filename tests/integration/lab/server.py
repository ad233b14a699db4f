# SPDX-License-Identifier: GPL-2.0-or-later
"""A database server of the tests' own: an ordinary user's process in a temporary folder."""
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import tempfile

from .daemon import until


def _exists_here(uid):
    """Whether this user namespace has the user."""
    with open("/proc/self/uid_map", encoding="ascii") as lines:
        ranges = [[int(word) for word in line.split()] for line in lines]
    return any(first <= uid < first + count for first, _, count in ranges)


class OrdinaryUser:
    """Whom a server that refuses to run as root runs as: `name` where it can be had.

    A user's own namespace has nobody but root; there, root becomes somebody in one more.
    """

    def __init__(self, name):
        entry = pwd.getpwnam(name)
        self.has_name = os.geteuid() == 0 and _exists_here(entry.pw_uid)
        self._entry = entry

    def command(self, command):
        """The command line that runs `command` as this user."""
        if self.has_name:
            who = [f"--reuid={self._entry.pw_uid}", f"--regid={self._entry.pw_gid}"]
            return ["setpriv", *who, "--clear-groups", "--inh-caps=-all", *command]
        if os.geteuid() == 0:
            return ["unshare", "--map-user=65534", "--map-group=65534", *command]
        return command

    def own(self, path):
        """The file or folder is this user's."""
        if self.has_name:
            os.chown(path, self._entry.pw_uid, self._entry.pw_gid)


class Server:
    """Its process, its folder, its log; what a kind of server adds is how to start and ask it."""

    user_name = None

    def __init__(self):
        self.user = OrdinaryUser(self.user_name)
        # Not in the run's own folder: that one is root's alone. Short, for sockets in it.
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="mpd-db-"))
        self.user.own(self.folder)
        self.log = self.folder / "log"
        self.process = None

    def run(self, command, **options):
        """Runs a program of the server's to its end; what it wrote."""
        done = subprocess.run(
            self.user.command([str(word) for word in command]),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=60,
            cwd=self.folder,
            **options,
        )
        if done.returncode != 0:
            raise AssertionError(f"{command[0]} ended with {done.returncode}: {done.stdout}")
        return done.stdout

    def write(self, name, text, mode=0o600):
        """A file in its folder."""
        path = self.folder / name
        path.write_text(text)
        path.chmod(mode)
        self.user.own(path)
        return path

    def launch(self, command):
        """Starts the server and waits until it answers."""
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.user.command([str(word) for word in command]),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until(self.answers, 60, lambda: f"the server does not answer: {self.tail()}")

    def answers(self):
        """Whether it serves; raises when it has ended."""
        if self.process.poll() is not None:
            raise AssertionError(
                f"the server ended with {self.process.returncode}: {self.tail()}"
            )
        return self.is_ready()

    def is_ready(self):
        raise NotImplementedError

    def tail(self):
        return self.log.read_text(errors="replace")[-2000:]

    def end(self, number, patience=30):
        """Ends it by this signal, all of its processes if it does not end in time."""
        if self.process is None or self.process.poll() is not None:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            raise AssertionError(f"the server did not end: {self.tail()}") from None

    def close(self):
        """Nothing of it is left."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
