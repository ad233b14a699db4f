# SPDX-License-Identifier: GPL-2.0-or-later
"""Records through ODBC into three real databases, by Debian's drivers for them."""
import json
import unittest

from lab import mariadb, postgres, runs
from lab.database_cases import DatabaseCases, DatabaseStage, LatinCases, RecordCases
from lab.odbc import SqliteFile, configured

POSTGRES = MARIADB = None


def setUpModule():
    global POSTGRES, MARIADB
    unittest.enterModuleContext(configured(runs.folder("odbc")))
    POSTGRES = postgres.Postgres()
    unittest.addModuleCleanup(POSTGRES.close)
    MARIADB = mariadb.MariaDB()
    unittest.addModuleCleanup(MARIADB.close)


class OdbcStage(DatabaseStage):
    plugin = "odbc"
    driver = None

    def back_end(self):
        return self.database.settings(driver=self.driver)


class PostgresStage(OdbcStage):
    driver = "PostgreSQL Unicode"

    @property
    def database(self):
        return POSTGRES


class Postgres(PostgresStage, DatabaseCases, unittest.TestCase):
    """What every database has to stand, by psqlodbc."""


class MariaDB(OdbcStage, DatabaseCases, LatinCases, unittest.TestCase):
    """The same by MariaDB's Connector/ODBC."""

    driver = "MariaDB Unicode"

    @property
    def database(self):
        return MARIADB


class SqliteStage(OdbcStage):
    """Records into a file, by SQLite's driver."""

    driver = "SQLite3"

    def setUp(self):
        self.database = SqliteFile(runs.folder("sqlite-odbc"))
        super().setUp()

    def back_end(self):
        return {"driver": self.driver, "database": str(self.database.path)}


class Sqlite(SqliteStage, RecordCases, unittest.TestCase):
    """What the table has to hold."""


class Dialects(SqliteStage, unittest.TestCase):
    def test_one_that_the_setting_names_goes_over_what_the_database_says(self):
        """SQLite takes SQL Server's brackets and its text in UTF-16."""
        self.database.make_mediaproxy_table()
        daemon = self.daemon(dialect="mssql").start()
        odd = "caf\u00e9-\u4e16\u754c-\U0001f4de"
        self.call(self.connect(daemon), odd, from_tag="\u00fc", to_tag="\u00df")
        ((*names, info),) = self.await_rows(daemon, 1)
        self.assertEqual(names, [odd, "\u00fc", "\u00df"])
        self.assertEqual(json.loads(info)["call_id"], odd)


class Sources(PostgresStage, unittest.TestCase):
    """How the database is named."""

    def test_a_data_source(self):
        source = {
            "Driver": self.driver,
            "Servername": "127.0.0.1",
            "Port": POSTGRES.port,
            "Database": "calls",
        }
        self.enterContext(configured(self.folder, {"bills": source}))
        daemon = self.daemon(driver=None, host=None, port=None, database=None, dsn="bills").start()
        self.call(self.connect(daemon), "call")
        self.check_each_once(daemon, ["call"])

    def test_a_connection_string(self):
        text = f"SERVERNAME=127.0.0.1;PORT={POSTGRES.port};DATABASE=calls"
        daemon = self.daemon(host=None, port=None, database=None, connection_string=text).start()
        self.call(self.connect(daemon), "call")
        self.check_each_once(daemon, ["call"])

    def test_a_driver_that_is_not_there_is_named(self):
        daemon = self.daemon(driver="Nobody's").start()
        self.call(self.connect(daemon), "call")
        self.await_log(daemon, "odbc:Nobody's", "records wait")
        self.assertEqual(POSTGRES.rows(), [])
