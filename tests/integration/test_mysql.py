# SPDX-License-Identifier: GPL-2.0-or-later
"""Records in MariaDB: the whole daemon with a real server."""
import contextlib
import select
import socket
import threading
import time
import unittest

from lab.daemon import until
from lab.database_cases import PATIENCE, DatabaseCases, LatinCases
from lab.mariadb import PASSWORD, MariaDB

database = None


def setUpModule():
    global database
    database = MariaDB()


def tearDownModule():
    database.close()


class MySql(DatabaseCases, LatinCases, unittest.TestCase):
    """What holds for every database, and for MariaDB and MySQL alone."""

    plugin = "mysql"

    @property
    def database(self):
        return database

    def back_end(self):
        return database.settings()

    def written(self, daemon, call_id):
        return until(
            lambda: [row for row in database.rows() if row[0] == call_id],
            PATIENCE,
            lambda: f"{call_id} is not written: {daemon.tail()}",
        )

    def writes(self, **changes):
        """A record comes through with these settings."""
        daemon = self.daemon(**changes).start()
        self.call(self.connect(daemon), "call")
        self.check_each_once(daemon, ["call"])

    def test_by_the_socket_of_the_server(self):
        self.writes(host=None, port=None, socket=str(database.socket))

    def test_by_an_address_of_the_old_form(self):
        everything = dict.fromkeys(("host", "port", "user", "password", "database"))
        secret = "".join(f"%{byte:02x}" for byte in PASSWORD.encode())
        self.writes(
            **everything, dburi=f"mysql://mediaproxy:{secret}@127.0.0.1:{database.port}/calls"
        )

    def test_the_password_in_a_file_beside_an_address_without_one(self):
        everything = dict.fromkeys(("host", "port", "user", "password", "database"))
        path = self.folder / "password"
        path.write_text(PASSWORD + "\n")
        self.writes(
            **everything,
            dburi=f"mariadb://mediaproxy@127.0.0.1:{database.port}/calls",
            password_file=str(path),
        )

    def test_tls_with_the_name_checked(self):
        database.execute("ALTER USER mediaproxy REQUIRE SSL")
        self.addCleanup(database.execute, "ALTER USER mediaproxy REQUIRE NONE")
        self.writes(host="localhost", tls_ca=str(database.certificate))

    def test_tls_without_a_check(self):
        database.execute("ALTER USER mediaproxy REQUIRE SSL")
        self.addCleanup(database.execute, "ALTER USER mediaproxy REQUIRE NONE")
        self.writes(tls="on")

    def test_a_server_that_is_far_away(self):
        """With and without TLS."""
        for tls in ("off", "on"):
            with self.subTest(tls), contextlib.closing(FarAway(database.port)) as between:
                database.reset()
                self.writes(port=between.port, tls=tls)

    def test_a_certificate_that_nobody_vouches_for_is_refused(self):
        daemon = self.daemon(host="localhost", tls="verify").start()
        self.call(self.connect(daemon), "call")
        self.await_log(daemon, "certificate", "records wait")
        self.assertEqual(database.rows(), [])

    def test_a_certificate_with_another_name_is_refused(self):
        daemon = self.daemon(tls_ca=str(database.certificate)).start()
        self.call(self.connect(daemon), "call")
        self.await_log(daemon, "certificate", "records wait")
        self.assertEqual(database.rows(), [])

    def test_a_database_that_is_not_there_yet(self):
        database.execute("GRANT ALL ON bills.* TO mediaproxy")
        daemon = self.daemon(database="bills").start()
        self.call(self.connect(daemon), "call")
        self.await_log(daemon, "Unknown database 'bills'", "records wait")
        database.execute("CREATE DATABASE bills")
        self.addCleanup(database.execute, "DROP DATABASE bills")
        self.assertEqual(
            until(lambda: database.rows("call_id", "bills.media_sessions"), PATIENCE, daemon.tail),
            [("call",)],
        )

    def test_a_connection_that_was_idle_for_too_long_is_nobodys_trouble(self):
        daemon = self.daemon().start()
        proxy = self.connect(daemon)
        self.call(proxy, "before")
        self.written(daemon, "before")
        database.disconnect()
        until(lambda: database.connections() == 0, PATIENCE, "the connection is still there")
        self.call(proxy, "after")
        self.check_each_once(daemon, ["before", "after"])
        self.assertEqual(daemon.logged("records wait"), [])

    def test_a_server_that_says_nothing_or_nonsense(self):
        """It takes connections. The end of the daemon does not wait for it."""
        for greeting, timeout, said in (
            (b"", 1, "no answer within 1.0 s"),
            (b"", 600, None),
            (b"SSH-2.0-OpenSSH_9.2\r\n" * 100, 5, "records wait"),
        ):
            with self.subTest((greeting[:7], timeout)), Greeter(greeting) as other:
                daemon = self.daemon(port=other.port, connect_timeout=timeout).start()
                self.call(self.connect(daemon), "call")
                until(lambda: other.count, PATIENCE, daemon.tail)
                if said:
                    self.await_log(daemon, said, "records wait")
                begin = time.monotonic()
                daemon.stop()
                self.assertLess(time.monotonic() - begin, 8)

    def test_a_server_that_answers_nothing_any_more(self):
        """Frozen: its kernel still takes connections. With and without TLS."""
        for tls in ("off", "on"):
            with self.subTest(tls):
                database.reset()
                daemon = self.daemon(statement_timeout=1, connect_timeout=1, tls=tls).start()
                proxy = self.connect(daemon)
                self.call(proxy, "before")
                self.written(daemon, "before")
                with database.frozen():
                    self.call(proxy, "meanwhile")
                    self.await_log(daemon, "no answer within 1.0 s", "records wait")
                self.check_each_once(daemon, ["before", "meanwhile"])

    def test_the_end_does_not_wait_for_a_frozen_server(self):
        for tls in ("off", "on"):
            with self.subTest(tls):
                database.reset()
                daemon = self.daemon(statement_timeout=600, tls=tls).start()
                proxy = self.connect(daemon)
                self.call(proxy, "before")
                self.written(daemon, "before")
                with database.frozen():
                    self.call(proxy, "meanwhile")
                    daemon.stop()
                daemon.start()
                self.check_each_once(daemon, ["before", "meanwhile"])

    def test_a_tls_handshake_that_stalls(self):
        """The server greets as it should, and then says nothing."""
        with socket.create_connection(("127.0.0.1", database.port)) as server:
            greeting = server.recv(4096)
        for timeout in (1, 600):
            with self.subTest(timeout), Greeter(greeting) as other:
                daemon = self.daemon(port=other.port, connect_timeout=timeout, tls="on").start()
                self.call(self.connect(daemon), "call")
                until(lambda: other.count, PATIENCE, daemon.tail)
                if timeout == 1:
                    self.await_log(daemon, "accounting.mysql", "records wait")
                begin = time.monotonic()
                daemon.stop()
                self.assertLess(time.monotonic() - begin, 8)

    def test_inserts_that_take_ten_seconds_are_given_up_in_time(self):
        daemon = self.daemon(statement_timeout=1).start()
        proxy = self.connect(daemon)
        self.call(proxy, "before")
        self.written(daemon, "before")
        database.slow_down(10)
        self.call(proxy, "slow")
        self.await_log(daemon, "records wait")
        self.assertLess(proxy.slowest, 0.5)
        database.speed_up()
        self.check_each_once(daemon, ["before", "slow"])

    def test_a_record_larger_than_the_server_takes_waits_for_nobody(self):
        """It is parked, and what comes behind it goes on."""
        database.execute("SET GLOBAL max_allowed_packet = 1024")
        self.addCleanup(database.execute, "SET GLOBAL max_allowed_packet = 16777216")
        daemon = self.daemon().start()
        proxy = self.connect(daemon)
        self.call(proxy, "large" * 200)
        self.await_log(daemon, "max_allowed_packet", "is refused")
        database.execute("SET GLOBAL max_allowed_packet = 16777216")
        database.disconnect()
        self.call(proxy, "after")
        self.check_each_once(daemon, ["after"])

    def test_a_hundred_records_are_few_statements(self):
        daemon = self.daemon().start()
        proxy = self.connect(daemon)
        self.call(proxy, "before")
        self.written(daemon, "before")
        names = [f"call-{number}" for number in range(100)]
        with database.locked():
            self.call(proxy, "first")
            until(database.waiting, PATIENCE, daemon.tail)
            for name in names:
                self.call(proxy, name)
            before = self.inserts()
        rows = until(
            lambda: len(database.rows()) == 102 and database.rows(), PATIENCE, daemon.tail
        )
        self.assertEqual([row[0] for row in rows], ["before", "first", *names])
        self.assertLess(self.inserts() - before, 10)

    @staticmethod
    def inserts():
        """How many INSERT statements the server had."""
        return int(database.execute("SHOW GLOBAL STATUS LIKE 'Com_insert'").split()[1])

    def test_a_person_can_drop_the_table_while_the_connection_is_idle(self):
        """No transaction stays open that would hold the table."""
        daemon = self.daemon().start()
        self.call(self.connect(daemon), "call")
        self.written(daemon, "call")
        database.execute("SET lock_wait_timeout = 1; DROP TABLE media_sessions")

    def test_records_are_written_once_when_the_answer_to_a_commit_is_lost(self):
        """The server commits and the connection ends before it says so, again and again."""
        for make_table in (lambda: None, database.make_mediaproxy_table):
            with self.subTest(make_table):
                database.reset()
                make_table()
                self.loses_answers()

    def loses_answers(self):
        daemon = self.daemon()
        with contextlib.closing(LosesCommits(database.port)) as between:
            daemon.settings["accounting"]["mysql"]["port"] = between.port
            daemon.start()
            proxy = self.connect(daemon)
            names = []
            while between.lost < 3:
                names.append(f"call-{len(names)}")
                self.call(proxy, names[-1])
                self.written(daemon, names[-1])
            until(lambda: between.passed_since_lost, PATIENCE, daemon.tail)
            self.check_each_once(daemon, names)

    def test_a_full_disk_keeps_records_until_there_is_room_again(self):
        small = MariaDB("80m")
        self.addCleanup(small.close)
        daemon = self.daemon(port=small.port).start()
        proxy = self.connect(daemon)
        names = ["before"]
        self.call(proxy, "before")
        until(small.rows, PATIENCE, lambda: f"nothing is written: {daemon.tail()}")
        with open(small.folder / "filler", "wb", buffering=0) as filler:
            with contextlib.suppress(OSError):
                while True:
                    filler.write(bytes(4096))
        while not daemon.logged("full", "records wait"):
            self.assertLess(len(names), 1000, f"the disk is never full: {daemon.tail()}")
            names.append(f"call-{len(names)}")
            self.call(proxy, names[-1])
        self.assertLess(proxy.slowest, 0.5)
        (small.folder / "filler").unlink()
        until(
            lambda: len(small.rows()) >= len(names),
            60,
            lambda: f"{len(small.rows())} rows of {len(names)}: {daemon.tail()}",
        )
        daemon.stop()
        self.assertEqual(sorted(call_id for (call_id,) in small.rows("call_id")), sorted(names))



class Greeter:
    """A server that says one thing to everybody who connects, and listens no further."""

    def __init__(self, greeting):
        self._greeting, self._clients = greeting, []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._greet, daemon=True).start()

    @property
    def count(self):
        return len(self._clients)

    def _greet(self):
        with contextlib.suppress(OSError):
            while True:
                self._clients.append(self._listener.accept()[0])
                self._clients[-1].sendall(self._greeting)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._listener.shutdown(socket.SHUT_RDWR)
        for each in (self._listener, *self._clients):
            each.close()


class Between:
    """Stands before the server and carries what both sides say."""

    def __init__(self, port):
        self._server_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def asked(self, data):
        """The client says this."""

    def lets_through(self, data):
        """Whether this answer is carried; else the connection ends."""
        raise NotImplementedError

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client):
        server = socket.create_connection(("127.0.0.1", self._server_port))
        with client, server, contextlib.suppress(OSError):
            while True:
                for sender in select.select([client, server], [], [])[0]:
                    data = sender.recv(65536)
                    if sender is client:
                        self.asked(data)
                    if not data or (sender is server and not self.lets_through(data)):
                        return
                    (server if sender is client else client).sendall(data)


class LosesCommits(Between):
    """The connection ends when the server has done a COMMIT, before it can say so: every second
    time."""

    lost, passed_since_lost, _commits = 0, True, False

    def asked(self, data):
        self._commits = data[4:] == b"\x03COMMIT"

    def lets_through(self, data):
        if not self._commits:
            return True
        self._commits = False
        self.passed_since_lost = not self.passed_since_lost
        self.lost += not self.passed_since_lost
        return self.passed_since_lost


class FarAway(Between):
    """Every answer takes a while to come."""

    def lets_through(self, data):
        time.sleep(0.2)
        return True
