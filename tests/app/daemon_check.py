#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The program as an operator meets it: options, starts that fail, background, signals, one call."""
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = os.path.abspath(sys.argv.pop(1))
PLUGINS = os.path.abspath(os.environ["PLUGIN_DIR"])
FAULTY = os.path.abspath(os.environ["FAULTY_PLUGIN_DIR"])
SOURCE = pathlib.Path(__file__).resolve().parents[2]
CERTIFICATES = SOURCE / "tls" / "make-certs"


def run(*words, **options):
    done = subprocess.run([PROGRAM, *map(str, words)], capture_output=True, text=True, timeout=20,
                          check=False, **options)
    return done.returncode, done.stdout, done.stderr


def until(look, failure, seconds=10):
    deadline = time.monotonic() + seconds
    while not (found := look()):
        if time.monotonic() > deadline:
            raise AssertionError(failure() if callable(failure) else failure)
        time.sleep(0.01)
    return found


class Options(unittest.TestCase):
    def test_what_only_prints(self):
        self.assertRegex(run("--version")[1], r"^mediaproxyd \d+\.\d+\.\d+\n$")
        self.assertIn("--print-config", run("--help")[1])

    def test_the_man_page_has_every_option(self):
        page = (SOURCE / "man" / "mediaproxyd.8").read_text(encoding="ascii")
        options = re.findall(r"^  --([a-z-]+)", run("--help")[1], re.MULTILINE)
        self.assertEqual(len(options), 12)
        for option in options:
            self.assertIn(f"\n.It Fl Fl {option}", page)

    def test_a_wrong_command_line_is_status_2(self):
        status, _, said = run("--chek")
        self.assertEqual(status, 2)
        self.assertEqual(said, "mediaproxyd: unknown option --chek; did you mean --check?\n")


class Case(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory(prefix="mediaproxyd-app-")
        self.addCleanup(self.scratch.cleanup)
        self.folder = pathlib.Path(self.scratch.name)

    def config(self, text="", name="mediaproxyd.toml", **top):
        """A configuration of both roles on loopback that needs no certificates; `text` follows."""
        top = {"role": "both", "plugin_dir": PLUGINS, "runtime_dir": f"{self.folder}/run",
               "state_dir": f"{self.folder}/state"} | top
        lines = [f"{key} = {json.dumps(value)}" for key, value in top.items()]
        path = self.folder / name
        path.write_text("\n".join(lines) + "\n" + (text or self.both()), encoding="ascii")
        return path

    @staticmethod
    def both(relay="", dispatcher=""):
        return f"""
[dispatcher]
listen = []
{dispatcher}
[dispatcher.management]
listen = []
socket_path = "management.sock"
use_tls = false
[relay]
relay_ip = "127.0.0.1"
port_range = "46000:46100"
routable_private_ranges = "127.0.0.0/8"
forwarding = "userspace" # a kernel back end would change the machine's own network
{relay}
"""

    def launch(self, path, *words):
        with open(self.folder / "log", "ab") as log:
            child = subprocess.Popen([PROGRAM, f"--config={path}", "--no-fork", *words],
                                     stdout=log, stderr=log)
        self.addCleanup(child.wait)
        self.addCleanup(child.kill)
        return child

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def start(self, path, *words):
        child = self.launch(path, *words)
        until(lambda: "serves as" in self.log() or child.poll() is not None, self.log)
        self.assertIsNone(child.poll(), self.log())
        return child

    def ask(self, request, name="dispatcher.sock"):
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(5)
            sock.connect(f"{self.folder}/run/{name}")
            sock.sendall(request.replace("\n", "\r\n").encode())
            return sock.recv(65536).decode()

    def update(self, call_id, port, kind="request", to_tag=""):
        return self.ask(f"update\ntype: {kind}\ndialog_id: \ncall_id: {call_id}\ncseq: 1\n"
                        f"from_uri: a@x\nto_uri: b@x\nfrom_tag: A\nto_tag: {to_tag}\n"
                        "user_agent: t\nsignaling_ip: 127.0.0.1\nmedia_relay: \n"
                        f"media: audio:127.0.0.1:{port}:sendrecv:ice=no\n\n")

    def remove(self, call_id):
        return self.ask(f"remove\ncall_id: {call_id}\nfrom_tag: A\nto_tag: B\n\n")


class Configuration(Case):
    def test_a_good_one_passes_the_check(self):
        path = self.config()
        self.assertEqual(run(f"--config={path}", "--check"),
                         (0, f"{path}: configuration OK\n", ""))

    def test_a_printed_one_is_the_same(self):
        printed = run("--config", self.config(), "--print-config")[1]
        again = self.folder / "again.toml"
        again.write_text(printed, encoding="ascii")
        self.assertEqual(run(f"--config={again}", "--print-config")[1], printed)
        self.assertIn('role = "relay"', run(f"--config={again}", "--print-config",
                                            "--role=relay")[1])

    def test_every_problem_is_told(self):
        path = self.config('[relay]\nstream_timout = 3\n[log]\nlevel = "loud"\n')
        for words in ((), ("--check",), ("--no-fork",)):
            status, _, said = run(f"--config={path}", *words)
            self.assertEqual(status, 1)
            self.assertIn(f'{path}:6: [relay] unknown key "stream_timout"', said)
            self.assertIn(f'{path}:8: [log] level = "loud": must be one of', said)

    def test_the_check_looks_at_plugins_and_certificates(self):
        path = self.config(self.both(dispatcher='accounting = ["sqlite", "nosuch"]') +
                           '[accounting.sqlite]\npth = "x"\n')
        status, _, said = run(f"--config={path}", "--check")
        self.assertEqual(status, 1)
        self.assertIn("nosuch", said)
        self.assertIn("pth", said)
        self.assertIn("path", said)
        path = self.config(self.both(dispatcher='accounting = ["sqlite"]') +
                           '[accounting.sqlite]\ndburi = "mysql://localhost/a"\n')
        status, _, said = run(f"--config={path}", "--check")
        self.assertEqual(status, 1)
        self.assertRegex(said, r"accounting\.sqlite: .*dburi")
        path = self.config('[relay]\ndispatchers = "127.0.0.1"\n', role="relay")
        self.assertIn("ca.pem", run(f"--config={path}", "--check")[2])
        subprocess.run([CERTIFICATES, self.folder / "tls"], check=True, capture_output=True)
        self.assertEqual(run(f"--config={path}", "--check")[0], 0)

    def test_plugins_are_listed(self):
        path = self.config()
        status, said, _ = run(f"--config={path}", "--list-plugins")
        self.assertEqual(status, 0)
        self.assertRegex(said, r"accounting +sqlite ")

    def test_a_missing_file_is_named(self):
        status, _, said = run("--config=/nonexistent/x.toml")
        self.assertEqual(status, 1)
        self.assertIn("/nonexistent/x.toml: No such file", said)


class Running(Case):
    def test_one_call_with_media_both_ways(self):
        self.start(self.config(self.both(dispatcher='accounting = ["jsonl"]') +
                               f'[accounting.jsonl]\npath = "{self.folder}/records"\n'))
        with socket.socket(type=socket.SOCK_DGRAM) as caller, \
                socket.socket(type=socket.SOCK_DGRAM) as callee:
            for phone in (caller, callee):
                phone.bind(("127.0.0.1", 0))
                phone.settimeout(5)
            offer = self.update("call", caller.getsockname()[1]).split()
            answer = self.update("call", callee.getsockname()[1], "reply", "B").split()
            packet = bytes([0x80, 0]) + bytes(170)
            for _ in range(3):
                caller.sendto(packet, (answer[0], int(answer[1])))
                self.assertEqual(callee.recv(2048), packet)
                callee.sendto(packet, (offer[0], int(offer[1])))
                self.assertEqual(caller.recv(2048), packet)
        self.assertEqual(self.remove("call"), "removed\r\n")
        records = self.folder / "records"
        until(lambda: records.exists() and records.read_text().endswith("\n"), self.log)
        stream = json.loads(records.read_text())["streams"][0]
        self.assertEqual((stream["caller_packets"], stream["callee_packets"]), (3, 3))

    def test_a_second_daemon_of_the_folder_is_refused(self):
        self.start(self.config())
        late = self.launch(self.config(name="late.toml", state_dir=f"{self.folder}/late"))
        self.assertEqual(late.wait(10), 1)
        self.assertIn("dispatcher.lock: another dispatcher", self.log())
        self.assertIn(" ", self.update("call", 5000))

    def test_with_its_spool_in_memory_it_needs_no_state_folder(self):
        path = self.config(self.both(dispatcher='accounting = ["sqlite"]') +
                           '[store]\nspool = "memory"\n', state_dir="/proc/none")
        self.start(path)
        self.assertIn(" ", self.update("call", 5000))
        until(lambda: "path: not set, and the daemon has no state folder" in self.log(), self.log)

    def test_a_signal_stops_it_and_its_calls_are_recorded(self):
        child = self.start(self.config(self.both(dispatcher='accounting = ["jsonl"]') +
                                       f'[accounting.jsonl]\npath = "{self.folder}/records"\n'))
        self.update("call", 5000)
        self.update("call", 5002, "reply", "B")
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(10), 0, self.log())
        record = json.loads((self.folder / "records").read_text())
        self.assertEqual(record["call_id"], "call")

    def stop_with_hung(self, name):
        """Returns how many records are in the spool then."""
        child = self.start(self.config(self.both(dispatcher=f'accounting = ["{name}"]'),
                                       plugin_dir=FAULTY))
        self.update("call", 5000)
        self.update("call", 5002, "reply", "B")
        child.send_signal(signal.SIGTERM)
        self.assertEqual(child.wait(20), 1, self.log())
        self.assertIn(f"accounting.{name}: still does not return", self.log())
        self.assertFalse((self.folder / "run" / "dispatcher.sock").exists())
        path = self.folder / "state" / "mediaproxyd.sqlite"
        with contextlib.closing(sqlite3.connect(path)) as spool:
            return spool.execute("SELECT count(*) FROM spool").fetchone()[0]

    def test_a_plugin_that_hangs_while_it_writes_does_not_keep_it_from_stopping(self):
        self.assertEqual(self.stop_with_hung("hangs"), 1)

    def test_nor_does_one_that_hangs_in_its_end(self):
        self.assertEqual(self.stop_with_hung("destroy_hangs"), 0)

    def test_hangup_drains(self):
        child = self.start(self.config())
        self.assertIn(" ", self.update("call", 5000))
        child.send_signal(signal.SIGHUP)
        until(lambda: "draining" in self.log(), self.log)
        self.assertEqual(self.update("new", 5000), "error\r\n")
        self.assertIn(" ", self.update("call", 5002, "reply", "B"))
        self.assertIsNone(child.poll())
        self.assertEqual(self.remove("call"), "removed\r\n")
        self.assertEqual(child.wait(10), 0, self.log())

    def test_a_dispatcher_stops_on_hangup_and_on_interrupt(self):
        subprocess.run([CERTIFICATES, self.folder / "tls"], check=True, capture_output=True)
        path = self.config("""
[dispatcher]
listen = "127.0.0.1:0"
[dispatcher.management]
listen = []
socket_path = "management.sock"
use_tls = false
""", role="dispatcher")
        for number in (signal.SIGHUP, signal.SIGINT):
            (self.folder / "log").unlink(missing_ok=True)
            child = self.start(path)
            child.send_signal(number)
            self.assertEqual(child.wait(10), 0, self.log())

    def test_a_user_signal_switches_to_debug_and_back(self):
        child = self.start(self.config())
        child.send_signal(signal.SIGUSR1)
        until(lambda: "logging DEBUG now" in self.log(), self.log)
        child.send_signal(signal.SIGUSR1)
        until(lambda: "logging INFO now" in self.log(), self.log)

    def test_a_start_that_fails_says_why(self):
        for words in (("--no-fork",), ()):
            path = self.config(self.both(relay='advertised_ip = "2001:db8::1"'))
            status, _, said = run(f"--config={path}", *words)
            self.assertEqual(status, 1)
            self.assertIn("advertised_ip", said)
        path = self.config(runtime_dir="/proc/none")
        status, _, said = run(f"--config={path}")
        self.assertEqual(status, 1)
        self.assertIn("/proc/none", said)

    @contextlib.contextmanager
    def running(self, path, *words, cwd="/"):
        """In the background, unless `words` say --no-fork."""
        if words:
            child = subprocess.Popen([PROGRAM, f"--config={path}", *words], cwd=cwd,
                                     stderr=subprocess.DEVNULL)
            self.addCleanup(child.wait)
            until(lambda: (self.folder / "run" / "dispatcher.sock").exists(), "does not start")
        else:
            self.assertEqual(run(f"--config={path}", cwd=cwd), (0, "", ""))
        pid = int((self.folder / "run" / "dispatcher.lock").read_text())
        try:
            yield
        finally:
            os.kill(pid, signal.SIGTERM)
        until(lambda: not pathlib.Path(f"/proc/{pid}").exists() or
              pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z", "does not stop")

    def test_in_the_background_the_first_process_ends_when_it_serves(self):
        self.config(runtime_dir="run", state_dir="state",
                    plugin_dir=os.path.relpath(PLUGINS, self.folder.resolve()))
        with self.running("mediaproxyd.toml", cwd=self.folder):
            self.assertIn(" ", self.update("call", 5000))

    def test_relative_paths_of_plugins_mean_the_same_from_anywhere_and_in_the_background(self):
        (self.folder / "where").write_text(f"sqlite://{self.folder}/calls.sqlite\n")
        path = self.config(self.both(dispatcher='accounting = ["jsonl", "sqlite"]') + """
[accounting.jsonl]
path = "records"
[accounting.sqlite]
dburi_file = "where"
""")
        self.assertEqual(run(f"--config={path}", "--check", cwd="/"),
                         (0, f"{path}: configuration OK\n", ""))
        for words in (("--no-fork",), ()):
            records = self.folder / "state" / "records"
            records.unlink(missing_ok=True)
            with self.running(path, *words):
                self.update("call", 5000)
                self.update("call", 5002, "reply", "B")
                self.remove("call")
                until(records.exists, "no record below the state folder")
        self.assertTrue((self.folder / "calls.sqlite").exists())

    def test_in_the_background_it_does_not_log_to_nobody(self):
        for target in ("stderr", "journal"):
            path = self.config(self.both() + f'[log]\ntarget = "{target}"\n')
            status, _, said = run(f"--config={path}")
            self.assertEqual(status, 1)
            self.assertIn(f'[log] target = "{target}": nobody reads that in the background', said)


if __name__ == "__main__":
    unittest.main()
