# SPDX-License-Identifier: GPL-2.0-or-later
"""Relays that answer garbage, twice, late or never; certificates that must be refused."""
import contextlib
import os
import socket
import ssl
import threading
import time
import unittest

from lab import runs
from lab.cluster import RANGES, dispatcher_settings, make_certs, ports_of, relay_settings
from lab.daemon import Daemon, until
from lab.fake_relay import FakeRelay, refused
from lab.unhurt import ANSWER, OFFER, unhurt

PATIENCE = 0.5  # seconds that the proxy's module waits
GOOD = "127.0.0.1 50000"
GARBAGE = {
    "words": "this is no address",
    "a port out of range": "127.0.0.1 70000",
    "a port that is no number": "127.0.0.1 50000x",
    "an odd address": "300.1.1.1 50000",
    "another family": "fd00::1 50000",
    "None": "None",
    "nothing": "",
    "error": "error",
    "JSON": '{"call_id": ',
    "binary": "\x01\x02\x7f \x00",
}


class DispatcherCase(unittest.TestCase):
    """A dispatcher with a certificate folder, shared by the tests of a class."""

    changes = {}

    @classmethod
    def setUpClass(cls):
        folder = runs.folder(cls.__name__)
        cls.certs = make_certs(folder / "tls")
        cls.daemon = Daemon("dispatcher", folder, dispatcher_settings(cls.certs, **cls.changes))
        cls.daemon.start()
        cls.listener = cls.daemon.settings["dispatcher"]["listen"]

    @classmethod
    def tearDownClass(cls):
        cls.daemon.stop()


class LyingRelay(DispatcherCase):
    """Each test has a fake relay as the dispatcher's only one."""

    def setUp(self):
        checks = contextlib.ExitStack()
        self.addCleanup(checks.close)
        checks.enter_context(unhurt(self.daemon, media=False))
        self.answers = lambda seq, headers: [f"{seq} {GOOD}"]
        self.relay = FakeRelay(
            self.listener, self.certs, lambda seq, headers: self.answers(seq, headers)
        )
        self.addCleanup(self.relay.close)
        self.assertTrue(self.relay.asked_for_sessions.wait(5), "the relay is not asked")
        self.proxy = self.daemon.connect()
        self.addCleanup(self.proxy.close)
        self.answers_again()
        self.answers = lambda seq, headers: [f"{seq} {GOOD}"]

    def answers_again(self):
        """The connection to the proxy is in step and the relay is still in use."""
        self.answers = lambda seq, headers: [f"{seq} 127.0.0.1 50002"]
        until(
            lambda: self.proxy.update(f"again-{time.monotonic()}", OFFER) == "127.0.0.1 50002",
            10,
            "the relay is not used again",
        )

    def test_a_good_answer_is_passed_on(self):
        self.assertEqual(self.proxy.update("good", OFFER), GOOD)
        command, _, headers = self.relay.requests[-1]
        self.assertEqual(command, "update")
        self.assertNotIn("to_tag", headers, "empty headers are left out")
        self.assertEqual(headers["call_id"], "good")

    def test_garbage_is_an_error_to_the_proxy(self):
        for name, text in GARBAGE.items():
            with self.subTest(name):
                self.answers = lambda seq, headers, text=text: [f"{seq} {text}"]
                self.assertEqual(self.proxy.update(f"garbage {name}", OFFER), "error")
        self.answers_again()
        self.assertLess(self.proxy.slowest, PATIENCE)

    def test_missing_ports_are_filled_with_0(self):
        self.assertEqual(self.proxy.update("few", f"{OFFER},{OFFER}"), f"{GOOD} 0")

    def test_an_answer_that_comes_twice_counts_once(self):
        self.answers = lambda seq, headers: [f"{seq} {GOOD}", f"{seq} {GOOD}", f"{seq} error"]
        for number in range(5):
            self.assertEqual(self.proxy.update(f"twice-{number}", OFFER), GOOD)
        self.answers_again()

    def test_answers_to_nothing_and_lines_without_sense_are_ignored(self):
        self.answers = lambda seq, headers: [
            "99999999999999999999999 1.2.3.4 5",
            "777777 1.2.3.4 5",
            "-1 error",
            "nonsense",
            "",
            " ",
            f"{seq}",
            f"{seq} {GOOD}",
        ]
        self.assertIn(self.proxy.update("noise", OFFER), (GOOD, "error"))
        self.answers_again()
        self.assertLess(self.proxy.slowest, PATIENCE)

    def test_a_late_answer_is_an_error_in_time_and_undone(self):
        def late(seq, headers):
            threading.Timer(0.7, self.relay.say, [f"{seq} {GOOD}"]).start()

        self.answers = late
        self.assertEqual(self.proxy.update("late", OFFER), "error")
        self.assertLess(self.proxy.slowest, PATIENCE)
        until(lambda: self.relay.removed("late"), 5, "the late session is not removed there")
        self.answers_again()

    def test_no_answer_is_an_error_in_time(self):
        self.answers = lambda seq, headers: None
        self.assertEqual(self.proxy.update("never", OFFER), "error")
        self.assertLess(self.proxy.slowest, PATIENCE)
        self.answers_again()

    def test_a_relay_that_goes_instead_of_answering(self):
        self.answers = lambda seq, headers: self.relay.close()
        self.assertEqual(self.proxy.update("gone", OFFER), "error")
        self.assertLess(self.proxy.slowest, PATIENCE)

    def test_ping_is_answered(self):
        self.relay.say("ping")
        until(lambda: self.relay.pongs, 5, "no pong")

    def test_expired_with_bad_statistics(self):
        self.assertEqual(self.proxy.update("known", OFFER), GOOD)
        for text in ("", "{", '{"call_id": "known"', "[]", "null", "7", '{"call_id": 7}', "\x01"):
            self.relay.say(f"expired {text}")
        self.relay.say('expired {"call_id": "unknown", "from_tag": "x", "streams": []}')
        self.relay.say("expired")
        self.answers_again()
        self.assertEqual(self.proxy.remove("known"), "removed")

    def test_statistics_that_are_cut_are_no_reason_to_fail_a_remove(self):
        self.assertEqual(self.proxy.update("cut", OFFER), GOOD)
        self.assertEqual(self.proxy.update("cut", ANSWER, kind="reply", to_tag="B"), GOOD)
        self.assertEqual(self.proxy.remove("cut"), "removed")
        self.answers_again()

    def test_binary_lines(self):
        self.relay.send(bytes(range(256)) * 16 + b"\r\n")
        self.relay.send(b"ping\r\n")
        self.assertTrue(self.relay.closed.wait(0.5) or self.relay.pongs)

    def test_an_endless_line_is_passed_over_or_ends_the_connection(self):
        with contextlib.suppress(OSError):
            for _ in range(512):
                self.relay.send(b"x" * 65536)
            self.relay.send(b"\r\n")
        if not self.relay.closed.is_set():
            self.answers_again()
        until(lambda: self.daemon.logged("line"), 5, "no word of it in the log")

    def test_half_a_line(self):
        self.relay.send(b"1 127.0.0.1 50")
        self.relay.close()


class RelayListener(DispatcherCase):
    """Who connects to the relay listener without being a relay."""

    def setUp(self):
        checks = contextlib.ExitStack()
        self.addCleanup(checks.close)
        checks.enter_context(unhurt(self.daemon, media=False))

    def connect_plain(self):
        host, _, port = self.listener.rpartition(":")
        sock = socket.create_connection((host, int(port)), 5)
        self.addCleanup(sock.close)
        return sock

    def ended(self, sock, patience=5):
        sock.settimeout(patience)
        try:
            while sock.recv(4096):  # an alert may come first
                pass
        except TimeoutError:
            return False
        except ConnectionError:
            pass
        return True

    def test_bytes_that_are_no_tls(self):
        for data in (b"ping\r\n" * 100, os.urandom(5000), b"GET / HTTP/1.0\r\n\r\n"):
            sock = self.connect_plain()
            sock.sendall(data)
            self.assertTrue(self.ended(sock), data[:20])

    def test_many_who_say_nothing(self):
        for _ in range(50):
            self.connect_plain()
        with good_relay(self) as relay:
            self.assertTrue(relay.asked_for_sessions.wait(5))

    def test_old_tls_versions(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            context.wrap_socket(self.connect_plain())


@contextlib.contextmanager
def good_relay(case):
    relay = FakeRelay(case.listener, case.certs, lambda seq, headers: [f"{seq} {GOOD}"])
    try:
        yield relay
    finally:
        relay.close()


class Certificates(DispatcherCase):
    """Passport `O:mediaproxyd, CN:relay*`; each refusal is a sentence in the log."""

    changes = {"passport": "O:mediaproxyd, CN:relay*"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = cls.certs
        make_certs(folder, "--days", "-1", "--cert", "relay-expired")
        make_certs(folder, "--cert", "relay-revoked")
        make_certs(folder, "--revoke", "relay-revoked")
        make_certs(folder, "--self-signed", "relay-selfsigned")
        make_certs(folder, "--cert", "intruder")
        make_certs(folder, "--organization", "Others", "--cert", "relay-others")
        # The same CA's name, another key.
        other = make_certs(folder.parent / "other-ca")
        for suffix in ("crt", "key"):
            (other / f"relay.{suffix}").rename(folder / f"relay-otherca.{suffix}")

    def setUp(self):
        checks = contextlib.ExitStack()
        self.addCleanup(checks.close)
        checks.enter_context(unhurt(self.daemon, media=False))

    def is_refused(self, name, *words):
        before = len(self.daemon.logged(*words))
        self.assertTrue(refused(self.listener, self.certs, name), f"{name} was let in")
        until(
            lambda: len(self.daemon.logged(*words)) > before,
            5,
            lambda: f"no log line with {words}: {self.daemon.tail()}",
        )
        self.assertEqual(self.daemon.relays(), [])

    def test_a_good_one_is_let_in(self):
        with good_relay(self) as relay:
            self.assertTrue(relay.asked_for_sessions.wait(5))

    def test_an_expired_one(self):
        self.is_refused("relay-expired", "expired")

    def test_a_revoked_one(self):
        # The CRL was made after the dispatcher started: it reads files anew when they change.
        until(lambda: refused(self.listener, self.certs, "relay-revoked"), 5, "still let in")
        self.is_refused("relay-revoked", "revoked")

    def test_a_self_signed_one(self):
        self.is_refused("relay-selfsigned", "self")

    def test_one_of_another_ca(self):
        self.is_refused("relay-otherca", "certificate")

    def test_one_with_the_wrong_name(self):
        self.is_refused("intruder", "passport")

    def test_one_with_the_wrong_organization(self):
        self.is_refused("relay-others", "passport")

    def test_none_at_all(self):
        self.is_refused(None, "certificate")


class RevokedLater(unittest.TestCase):
    """A relay that is connected when its certificate is revoked is put out at the next check."""

    def test_an_open_connection_is_verified_again(self):
        folder = runs.folder(type(self).__name__)
        certs = make_certs(folder / "tls")
        settings = dispatcher_settings(certs)
        settings["tls"]["verify_interval"] = 1
        daemon = Daemon("dispatcher", folder, settings).start()
        self.addCleanup(daemon.stop)
        relay = FakeRelay(daemon.settings["dispatcher"]["listen"], certs, lambda *_: None)
        self.addCleanup(relay.close)
        self.assertTrue(relay.asked_for_sessions.wait(5))
        self.assertFalse(relay.closed.wait(1.5), "put out without a reason")
        make_certs(certs, "--revoke", "relay")
        self.assertTrue(relay.closed.wait(6), f"a revoked relay stays: {daemon.tail()}")
        self.assertTrue(daemon.logged("revoked"), daemon.tail())


class RelaysSide(unittest.TestCase):
    """A real relay among dispatchers that it must not trust."""

    def setUp(self):
        self.folder = runs.folder(self._testMethodName)
        self.certs = make_certs(self.folder / "tls")

    def test_a_dispatcher_of_another_ca_and_one_with_the_wrong_passport(self):
        other = Daemon("other", self.folder, dispatcher_settings(make_certs(self.folder / "other")))
        mine = Daemon("mine", self.folder, dispatcher_settings(self.certs))
        for daemon in (other, mine):
            daemon.start()
            self.addCleanup(daemon.stop)
        relay = Daemon("relay", self.folder, relay_settings(self.certs, "r1", [other, mine]))
        relay.start()
        self.addCleanup(relay.stop)
        until(lambda: mine.relays(), 10, lambda: f"not connected: {relay.tail()}")
        until(lambda: relay.logged("certificate"), 5, lambda: f"no reason: {relay.tail()}")
        self.assertEqual(other.relays(), [])
        strict = Daemon(
            "strict",
            self.folder,
            relay_settings(self.certs, "r2", [mine], passport="CN:another*"),
        ).start()
        self.addCleanup(strict.stop)
        until(lambda: strict.logged("passport"), 5, lambda: f"no reason: {strict.tail()}")
        self.assertEqual(len(mine.relays()), 1)

    def test_a_dispatcher_that_talks_garbage(self):
        """The relay drops it or answers `error`, and serves the other dispatcher."""
        mine = Daemon("mine", self.folder, dispatcher_settings(self.certs)).start()
        self.addCleanup(mine.stop)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certs / "dispatcher.crt", self.certs / "dispatcher.key")
        context.load_verify_locations(self.certs / "ca.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        settings = relay_settings(self.certs, "r1", [mine])
        settings["relay"]["dispatchers"].append("127.0.0.1:%d" % listener.getsockname()[1])
        relay = Daemon("relay", self.folder, settings).start()
        self.addCleanup(relay.stop)
        until(lambda: mine.relays(), 10, lambda: f"not connected: {relay.tail()}")
        listener.settimeout(10)
        for data in (
            b"nonsense 1\r\n\r\n",
            b"update\r\n\r\n",
            b"update x\r\nno colon\r\n\r\n",
            b"update 1\r\ncall_id: 1\r\n\r\n",
            b"sessions 99999999999999999999999\r\n\r\n",
            bytes(range(256)) * 20 + b"\r\n\r\n",
            b"remove 2\r\n" + b"x" * 5_000_000,
        ):
            plain, _ = listener.accept()
            with context.wrap_socket(plain, server_side=True) as link:
                link.settimeout(0.5)
                with contextlib.suppress(OSError):
                    link.sendall(data)
                    while link.recv(65536):
                        pass
            self.assertTrue(relay.alive(), relay.tail())
        proxy = mine.connect()
        self.addCleanup(proxy.close)
        low, high = RANGES["r1"]
        self.assertTrue(low <= ports_of(proxy.update("fine", OFFER))[0] < high)
        self.assertEqual(proxy.remove("fine"), "removed")
