# SPDX-License-Identifier: GPL-2.0-or-later
"""Records into a real PostgreSQL, whatever happens to it."""
import json
import signal
import unittest
import urllib.parse

from lab.database_cases import PATIENCE, DatabaseCases, DatabaseStage
from lab.daemon import until
from lab.postgres import PASSWORD, Postgres

DATABASE = None


def setUpModule():
    global DATABASE
    DATABASE = Postgres()
    unittest.addModuleCleanup(DATABASE.close)


class PostgresStage(DatabaseStage):
    plugin = "postgres"

    @property
    def database(self):
        return DATABASE

    def back_end(self):
        return DATABASE.settings()


class Records(PostgresStage, DatabaseCases, unittest.TestCase):
    """What every database has to stand."""


class Ways(PostgresStage, unittest.TestCase):
    """How the server is reached."""

    def arrives(self, **changes):
        """A record does; whether it came over TLS."""
        daemon = self.daemon(**changes).start()
        self.call(self.connect(daemon), "call")
        self.await_first_row(daemon)
        over_tls = DATABASE.execute(
            "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
            "WHERE usename = 'mediaproxy'"
        )
        self.check_each_once(daemon, ["call"])
        return over_tls.strip() == "t"

    def test_tls_with_the_servers_certificate_checked(self):
        self.assertTrue(
            self.arrives(
                host="localhost", sslmode="verify-full", sslrootcert=str(DATABASE.certificate)
            )
        )

    def test_without_tls_when_so_told(self):
        self.assertFalse(self.arrives(sslmode="disable"))

    def test_the_socket_of_the_server_on_this_host(self):
        self.arrives(host=None, socket=str(DATABASE.folder), password=None)

    def test_an_address_as_mediaproxy_writes_it(self):
        password = urllib.parse.quote(PASSWORD, safe="")
        address = f"postgres://mediaproxy:{password}@127.0.0.1:{DATABASE.port}/calls"
        single = {key: None for key in self.back_end()}
        self.assertTrue(self.arrives(dburi=address + "?sslmode=require", **single))

    def test_a_password_in_a_file(self):
        path = self.folder / "password"
        path.write_text(PASSWORD + "\n")
        self.arrives(password=None, password_file=str(path))

    def test_a_certificate_that_nobody_vouches_for_is_refused(self):
        other = self.folder / "other.crt"
        DATABASE.make_certificate(other, self.folder / "other.key")
        daemon = self.daemon(
            host="localhost", sslmode="verify-full", sslrootcert=str(other)
        ).start()
        self.call(self.connect(daemon), "call")
        self.await_log(daemon, "certificate verify failed")
        self.assertEqual(DATABASE.rows(), [])


class Servers(PostgresStage, unittest.TestCase):
    """What only PostgreSQL does."""

    def test_a_server_that_does_not_answer_is_given_up_in_time(self):
        daemon = self.daemon(connect_timeout=1, statement_timeout=1).start()
        proxy = self.connect(daemon)
        self.call(proxy, "before")
        self.await_first_row(daemon)
        DATABASE.signal(signal.SIGSTOP)
        try:
            self.call(proxy, "call")
            self.await_log(daemon, "in time", "records wait")
            daemon.stop()
        finally:
            DATABASE.signal(signal.SIGCONT)
        daemon.start()
        self.check_each_once(daemon, ["before", "call"])

    def test_json_in_a_column_of_text(self):
        DATABASE.execute(
            "CREATE TABLE media_sessions (id SERIAL, call_id TEXT NOT NULL, from_tag TEXT NOT "
            "NULL, to_tag TEXT, info TEXT); ALTER TABLE media_sessions OWNER TO mediaproxy"
        )
        daemon = self.daemon().start()
        self.call(self.connect(daemon), "caf\u00e9")
        until(self.text_rows, PATIENCE, lambda: f"nothing is written: {daemon.tail()}")
        self.assertEqual([json.loads(info)["call_id"] for info in self.text_rows()], ["caf\u00e9"])

    @staticmethod
    def text_rows():
        return DATABASE.execute("SELECT info FROM media_sessions").splitlines()

    def test_a_database_without_the_letters_of_a_record_gets_it_in_ascii(self):
        DATABASE.execute(
            "CREATE DATABASE latin OWNER mediaproxy TEMPLATE template0 ENCODING 'LATIN1'"
        )
        self.addCleanup(DATABASE.execute, "DROP DATABASE latin WITH (FORCE)")
        daemon = self.daemon(database="latin").start()
        proxy = self.connect(daemon)
        self.call(proxy, "caf\u00e9")
        self.call(proxy, "\u4e16\u754c")

        def rows():
            asked = "SELECT call_id || ' ' || convert_from(info, 'UTF8') FROM media_sessions"
            return DATABASE.execute("SET client_encoding = 'UTF8'; " + asked, "latin").splitlines()

        self.await_log(daemon, "takes no such characters")
        until(lambda: len(rows()) == 2, PATIENCE, lambda: f"{rows()}: {daemon.tail()}")
        columns = [row.split(" ", 1) for row in rows()]
        self.assertEqual([call_id for call_id, _ in columns], ["caf\u00e9", "??"])
        self.assertEqual(json.loads(columns[1][1])["call_id"], "\u4e16\u754c")
