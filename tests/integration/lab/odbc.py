# SPDX-License-Identifier: GPL-2.0-or-later
"""ODBC as the tests have it: Debian's drivers, named in a folder of their own; an SQLite file."""
import contextlib
import glob
import os
import pathlib
import sqlite3

DRIVERS = {
    "PostgreSQL Unicode": "psqlodbcw.so",
    "MariaDB Unicode": "libmaodbc.so",
    "SQLite3": "libsqlite3odbc.so",
}


def _library(name):
    found = glob.glob(f"/usr/lib/*/odbc/{name}")
    if not found:
        raise AssertionError(f"no ODBC driver {name}; see test_packages in ./dev")
    return found[0]


def _ini(sections):
    return "\n".join(
        f"[{name}]\n" + "".join(f"{key} = {value}\n" for key, value in section.items())
        for name, section in sections.items()
    )


@contextlib.contextmanager
def configured(folder, sources=None):
    """What is started meanwhile finds the drivers, and these data sources, by name."""
    folder = pathlib.Path(folder)
    drivers = {name: {"Driver": _library(file)} for name, file in DRIVERS.items()}
    (folder / "odbcinst.ini").write_text(_ini(drivers))
    (folder / "odbc.ini").write_text(_ini(sources or {}))
    variables = {"ODBCSYSINI": str(folder), "ODBCINI": str(folder / "odbc.ini")}
    before = {key: os.environ.get(key) for key in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for key, value in before.items():
            if value is None:
                del os.environ[key]
            else:
                os.environ[key] = value


class SqliteFile:
    """A database that is a file; nothing runs, and nothing can be refused."""

    def __init__(self, folder):
        self.path = pathlib.Path(folder) / "odbc.sqlite"

    def reset(self):
        for path in self.path.parent.glob(self.path.name + "*"):
            path.unlink()

    def execute(self, sql):
        with contextlib.closing(sqlite3.connect(self.path, timeout=30)) as database:
            database.executescript(sql)

    @staticmethod
    def names(*names):
        return ", ".join(f'"{name}"' for name in names)

    def make_mediaproxy_table(self):
        self.execute(
            "CREATE TABLE media_sessions (id INTEGER PRIMARY KEY AUTOINCREMENT, "
            "call_id VARCHAR(255) NOT NULL, from_tag VARCHAR(64) NOT NULL, to_tag VARCHAR(64), "
            "info BLOB); CREATE UNIQUE INDEX media_sessions_callid_idx "
            "ON media_sessions (call_id, from_tag, to_tag)"
        )

    def rows(self, columns="call_id, from_tag, to_tag, info", table="media_sessions"):
        """The rows in the order in which they were written; bytes as text."""
        if not self.path.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.path, timeout=30)) as database:
            try:
                rows = database.execute(f"SELECT {columns} FROM {table} ORDER BY id").fetchall()
            except sqlite3.OperationalError:  # the table is not made yet
                return []
        return [
            tuple(value.decode() if isinstance(value, bytes) else value for value in row)
            for row in rows
        ]
