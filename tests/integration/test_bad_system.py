# SPDX-License-Identifier: GPL-2.0-or-later
"""A system that does not give what the daemon needs: ports, descriptors, addresses, disk, files."""
import contextlib
import os
import pathlib
import resource
import socket
import subprocess
import unittest

from lab import daemon as lab_daemon
from lab import runs
from lab.cluster import both_settings, ports_of
from lab.daemon import Daemon, free_port, merged, until
from lab.unhurt import ANSWER, OFFER, whole_range

IP = "127.0.0.1"


class SystemCase(unittest.TestCase):
    def setUp(self):
        self.folder = runs.folder(self._testMethodName)

    def start(self, settings, **options):
        daemon = Daemon("daemon", self.folder, settings)
        self.addCleanup(daemon.kill)
        return daemon.start(**options)

    def connect(self, daemon):
        connection = daemon.connect()
        self.addCleanup(connection.close)
        return connection


class Ports(SystemCase):
    def take(self, *ports):
        """Binds these ports, as another program would."""
        for port in ports:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self.addCleanup(sock.close)
            sock.bind((IP, port))
            yield sock

    def test_an_exhausted_range_is_an_error_to_that_request_alone(self):
        """Ten pairs are five streams."""
        daemon = self.start(both_settings("43000:43020"))
        proxy = self.connect(daemon)
        answers = [proxy.update(f"call-{number}", OFFER) for number in range(5)]
        ports = {port for answer in answers for port in ports_of(answer)}
        self.assertEqual(len(ports), 5)
        self.assertTrue(all(43000 <= port < 43020 and port % 2 == 0 for port in ports))
        self.assertEqual(proxy.update("one too many", OFFER), "error")
        self.assertEqual(proxy.update("two too many", f"{OFFER},{OFFER}"), "error")
        # A re-INVITE that adds a stream fails, its call goes on as it was.
        answer = proxy.update("call-0", ANSWER, kind="reply", to_tag="B")
        self.assertEqual(proxy.update("call-0", f"{OFFER},{OFFER}", cseq=2, to_tag="B"), "error")
        self.assertEqual(proxy.update("call-0", ANSWER, kind="reply", to_tag="B"), answer)
        self.assertEqual(proxy.remove("call-1"), "removed")
        ports_of(proxy.update("one more", OFFER))
        for call_id in ("call-0", "call-2", "call-3", "call-4", "one more"):
            self.assertEqual(proxy.remove(call_id), "removed")
        whole_range(daemon)

    def test_pairs_that_others_hold_are_left_out_and_tried_again_later(self):
        """Six pairs, of which others hold three in RTP or in RTCP; one stream takes two pairs."""
        taken = list(self.take(43000, 43005, 43008))
        daemon = self.start(both_settings("43000:43012"))
        proxy = self.connect(daemon)
        ports_of(proxy.update("first", OFFER))
        self.assertEqual(proxy.update("second", OFFER), "error")
        for sock in taken:
            sock.close()

        def works():
            return proxy.update(f"later-{len(attempts)}", OFFER) != "error" or attempts.append(1)

        attempts = []
        until(works, 90, "pairs that are free again are not used")

    def test_a_range_that_is_taken_whole(self):
        taken = list(self.take(*range(43000, 43004)))
        daemon = self.start(both_settings("43000:43004"))
        proxy = self.connect(daemon)
        self.assertEqual(proxy.update("call", OFFER), "error")
        self.assertTrue(daemon.alive())
        del taken

    def test_a_relay_ip_that_cannot_be_bound(self):
        daemon = Daemon("daemon", self.folder, both_settings(relay_ip=["192.0.2.1"]))
        self.addCleanup(daemon.kill)
        daemon.launch()
        self.assertNotEqual(daemon.wait(5), 0)
        self.assertTrue(daemon.logged("192.0.2.1 cannot be bound"), daemon.tail())

    def test_a_management_port_that_is_taken(self):
        with contextlib.closing(socket.create_server((IP, 0))) as other:
            settings = both_settings()
            settings["dispatcher"]["management"]["listen"] = f"{IP}:{other.getsockname()[1]}"
            daemon = Daemon("daemon", self.folder, settings).launch()
            self.addCleanup(daemon.kill)
            self.assertNotEqual(daemon.wait(5), 0)
            self.assertTrue(daemon.logged(str(other.getsockname()[1])), daemon.tail())


class Descriptors(SystemCase):
    def test_too_few_descriptors_are_an_error_to_that_request_alone(self):
        """128 descriptors are far less than what the port range would need."""

        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (128, 128))

        daemon = self.start(both_settings("43000:43400"), prepare=few)
        idle = daemon.descriptors()
        proxy = self.connect(daemon)
        answers = [proxy.update(f"call-{number}", OFFER) for number in range(60)]
        served = [number for number, answer in enumerate(answers) if answer != "error"]
        self.assertGreater(len(served), 5)
        self.assertLess(len(served), 20)
        self.assertLess(proxy.slowest, 0.5)
        # Media leaves enough for the management interface and for records.
        self.assertTrue(daemon.manage("version"))
        # What stands goes on, what ends makes room.
        for number in served:
            again = proxy.update(f"call-{number}", ANSWER, kind="reply", to_tag="B")
            self.assertEqual(len(ports_of(again)), 1)
        self.assertEqual(proxy.remove(f"call-{served[0]}"), "removed")
        self.assertEqual(proxy.remove(f"call-{served[1]}"), "removed")
        ports_of(proxy.update("room again", OFFER))
        for call_id in [f"call-{number}" for number in served] + ["room again"]:
            self.assertEqual(proxy.remove(call_id), "removed")
        until(lambda: len(daemon.rows()) == len(served), 5, "records are missing")
        until(
            lambda: daemon.descriptors() <= idle + 1, 5, lambda: f"{daemon.descriptors()}, {idle}"
        )

    def test_more_connections_than_descriptors(self):
        def few():
            resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

        daemon = self.start(both_settings("43000:43020"), prepare=few)
        first = self.connect(daemon)
        ports_of(first.update("call", OFFER))
        with contextlib.ExitStack() as crowd:
            for _ in range(100):
                crowd.enter_context(contextlib.closing(daemon.connect()))
            ports_of(first.update("call", ANSWER, kind="reply", to_tag="B"))
            self.assertTrue(daemon.alive())
        until(daemon.serves, 10, "nobody is let in any more")
        self.assertEqual(first.remove("call"), "removed")


class ControlSocketPath(SystemCase):
    @property
    def path(self):
        folder = self.folder / "daemon"
        folder.mkdir(exist_ok=True)
        return folder / "dispatcher.sock"

    def launch(self):
        daemon = Daemon("daemon", self.folder, both_settings()).launch()
        self.addCleanup(daemon.kill)
        return daemon

    def test_a_socket_that_a_dead_one_left_is_replaced(self):
        with contextlib.closing(socket.socket(socket.AF_UNIX)) as dead:
            dead.bind(str(self.path))
        ports_of(self.connect(self.start(both_settings())).update("call", OFFER))

    def test_a_socket_that_another_one_serves_is_left_alone(self):
        other = self.start(both_settings("43000:43020"))
        settings = merged(both_settings("44000:44020"), {"runtime_dir": str(other.folder)})
        late = Daemon("late", self.folder, settings).launch()
        self.addCleanup(late.kill)
        self.assertNotEqual(late.wait(5), 0)
        self.assertTrue(late.logged("another dispatcher", str(other.folder)), late.tail())
        ports_of(self.connect(other).update("call", OFFER))

    def test_a_file_of_somebody_is_left_alone(self):
        self.path.write_text("precious")
        daemon = self.launch()
        self.assertNotEqual(daemon.wait(5), 0)
        self.assertTrue(daemon.logged("dispatcher.sock"), daemon.tail())
        self.assertEqual(self.path.read_text(), "precious")

    def test_a_folder_in_its_place(self):
        self.path.mkdir()
        daemon = self.launch()
        self.assertNotEqual(daemon.wait(5), 0)
        self.assertTrue(daemon.logged("dispatcher.sock"), daemon.tail())

    def test_a_folder_that_is_not_there(self):
        settings = merged(both_settings(), {"dispatcher": {"socket_path": "/nonexistent/d.sock"}})
        daemon = Daemon("daemon", self.folder, settings).launch()
        self.addCleanup(daemon.kill)
        self.assertNotEqual(daemon.wait(5), 0)
        self.assertTrue(daemon.logged("/nonexistent/d.sock"), daemon.tail())


class FullDisk(SystemCase):
    """A file system of 512 kB, in the mount namespace of this run."""

    def setUp(self):
        super().setUp()
        self.disk = self.folder / "disk"
        self.disk.mkdir()
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", str(self.disk)], check=True
        )
        self.addCleanup(subprocess.run, ["umount", "-l", str(self.disk)], check=True)

    def fill(self):
        with open(self.disk / "filler", "wb", buffering=0) as filler:
            with contextlib.suppress(OSError):
                while True:
                    filler.write(b"x" * 4096)
            with contextlib.suppress(OSError):
                while True:
                    filler.write(b"x")

    def call(self, proxy, call_id):
        ports_of(proxy.update(call_id, OFFER))
        ports_of(proxy.update(call_id, ANSWER, kind="reply", to_tag="B"))
        self.assertEqual(proxy.remove(call_id), "removed")

    def outlives_it(self, settings):
        """Calls go on in time; records wait until there is room again, then each comes once."""
        daemon = self.start(settings)
        proxy = self.connect(daemon)
        self.call(proxy, "before")
        until(lambda: daemon.rows("before"), 5, "no row")
        self.fill()
        for number in range(20):
            self.call(proxy, f"full-{number}")
        self.assertLess(proxy.slowest, 0.5)
        self.assertTrue(daemon.alive())
        until(
            lambda: daemon.logged("full") or daemon.logged("No space"),
            10,
            lambda: f"no word of the full disk: {daemon.tail()}",
        )
        (self.disk / "filler").unlink()
        self.call(proxy, "after")
        until(
            lambda: len(daemon.rows()) == 22,
            60,
            lambda: f"{len(daemon.rows())} rows of 22 when there is room again: {daemon.tail()}",
        )
        self.assertEqual(len({row[0] for row in daemon.rows()}), 22, "doubled rows")
        daemon.stop()

    def test_under_the_records(self):
        path = str(self.disk / "s.sqlite")
        self.outlives_it(merged(both_settings(), {"accounting": {"sqlite": {"path": path}}}))

    def test_under_the_state(self):
        """What the daemon itself keeps cannot be written either."""
        self.outlives_it(merged(both_settings(), {"state_dir": str(self.disk)}))


class Priority(SystemCase):
    REALTIME = merged(both_settings(), {"realtime": True})
    REFUSED = ("realtime = true", "Operation not permitted", "RTPRIO")

    def test_a_refusal_is_told_and_costs_nothing_else(self):
        wrapper = ["prlimit", "--rtprio=0", "setpriv", "--bounding-set=-sys_nice", "--inh-caps=-all"]
        daemon = self.start(self.REALTIME, wrapper=wrapper)
        self.assertEqual(os.sched_getscheduler(daemon.pid), os.SCHED_OTHER)
        self.assertEqual(len(daemon.logged(*self.REFUSED)), 1)
        ports_of(self.connect(daemon).update("call", OFFER))

    def test_the_core_thread_alone_is_realtime_where_that_is_allowed(self):
        daemon = self.start(self.REALTIME)
        refused = bool(daemon.logged(*self.REFUSED))
        policies = {
            int(task.name): os.sched_getscheduler(int(task.name)) & ~os.SCHED_RESET_ON_FORK
            for task in pathlib.Path(f"/proc/{daemon.pid}/task").iterdir()
        }
        self.assertEqual(policies.pop(daemon.pid), os.SCHED_OTHER if refused else os.SCHED_RR)
        self.assertEqual(set(policies.values()), {os.SCHED_OTHER})


class Configuration(SystemCase):
    def run_with(self, path, *words, wrapper=()):
        """Exit status and what was said; the daemon must not stay."""
        command = [*wrapper, str(lab_daemon.EXECUTABLE), "--config", str(path), "--no-fork", *words]
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=10, check=False
        )
        return done.returncode, done.stdout.decode(errors="replace")

    def refused(self, text, *said, wrapper=()):
        """This file is refused with these words, with --check and without."""
        path = self.folder / "mediaproxyd.toml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        for words in ((), ("--check",)):
            status, output = self.run_with(path, *words, wrapper=wrapper)
            self.assertEqual(status, 1, f"{text!r}: {output}")
            for word in (str(path), *said):
                self.assertIn(word, output)

    def test_a_good_one_passes_the_check(self):
        daemon = Daemon("daemon", self.folder, both_settings())
        daemon.config.write_text(lab_daemon.toml(daemon.settings))
        self.assertEqual(self.run_with(daemon.config, "--check")[0], 0)

    def test_one_that_is_not_there(self):
        path = self.folder / "missing.toml"
        status, output = self.run_with(path)
        self.assertEqual(status, 1)
        self.assertIn(str(path), output)

    def test_one_that_cannot_be_read(self):
        status, output = self.run_with(self.folder)
        self.assertEqual(status, 1)
        self.assertIn(str(self.folder), output)
        path = self.folder / "secret.toml"
        path.write_text('role = "both"\n')
        path.chmod(0)
        no_override = [
            "setpriv",
            "--bounding-set=-dac_override,-dac_read_search",
            "--inh-caps=-all",
        ]
        status, output = self.run_with(path, wrapper=no_override)
        self.assertEqual(status, 1)
        self.assertIn(str(path), output)

    def test_wrong_ones(self):
        for text, *said in (
            ("role = \n", ":1"),
            ('role = "both"\n[relay]\nrelay_pi = "127.0.0.1"\n', ":3", "relay_pi", "relay_ip"),
            ('role = "both"\n[realy]\n', "realy", "relay"),
            ('role = "neither"\n', ":1", "neither"),
            ('role = "relay"\n[relay]\nport_range = "50001:50000"\n', ":3", "port_range"),
            ('role = "relay"\n[relay]\nport_range = 7\n', ":3", "port_range"),
            ('role = "relay"\n[relay]\nrelay_ip = ["10.0.0.256"]\n', ":3", "10.0.0.256"),
            ('role = "relay"\n[relay]\nstream_timeout = "soon"\n', ":3", "stream_timeout"),
            ('role = "relay"\n[relay]\nstream_timeout = -1\n', ":3", "stream_timeout"),
            ('role = "relay"\n[relay]\nkeepalive_interval = 0\n', ":3", "keepalive_interval"),
            ('[log]\nlevel = "chatty"\n', ":2", "chatty"),
            ('[relay]\nroutable_private_ranges = ["10.0.0.0/33"]\n', ":2", "10.0.0.0/33"),
            (bytes(range(256)), ""),
        ):
            with self.subTest(text):
                self.refused(text, *said)

    def test_a_plugin_that_is_not_there(self):
        settings = merged(both_settings(), {"dispatcher": {"accounting": ["nosuch"]}})
        daemon = Daemon("daemon", self.folder, settings).launch()
        self.addCleanup(daemon.kill)
        until(lambda: daemon.logged("nosuch"), 5, lambda: f"no word about it: {daemon.tail()}")

    def test_certificates_that_are_not_there(self):
        settings = merged(
            both_settings(),
            {
                "role": "dispatcher",
                "dispatcher": {"listen": f"{IP}:{free_port()}"},
                "tls": {"certs_path": "no"},
            },
        )
        daemon = Daemon("daemon", self.folder, settings).launch()
        self.addCleanup(daemon.kill)
        self.assertNotEqual(daemon.wait(5), 0)
        self.assertTrue(daemon.logged("ca.pem") or daemon.logged("dispatcher.crt"), daemon.tail())
