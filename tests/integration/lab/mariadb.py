# SPDX-License-Identifier: GPL-2.0-or-later
"""A MariaDB of the tests' own, on a free port and a UNIX socket in a temporary folder.

    database = MariaDB()
    settings["accounting"]["mysql"] = database.settings()
    ...
    database.rows()
    database.close()
"""
import contextlib
import json
import shutil
import signal
import subprocess

from .daemon import free_port, until
from .server import Server

PASSWORD = "s3cret: 'quoted' & @"
MEDIAPROXY_TABLE = """CREATE TABLE media_sessions (id INT PRIMARY KEY AUTO_INCREMENT,
    call_id VARCHAR(255) NOT NULL, from_tag VARCHAR(64) NOT NULL, to_tag VARCHAR(64),
    info MEDIUMBLOB, UNIQUE media_sessions_callid_idx (call_id, from_tag, to_tag))"""
# What a file of its own tells the server; small, and durable over the end of its process only.
CONFIGURATION = """[mysqld]
datadir = {folder}/data
socket = {folder}/socket
pid-file = {folder}/pid
port = {port}
bind-address = 127.0.0.1
skip-name-resolve
innodb-log-file-size = 4M
innodb-buffer-pool-size = 32M
innodb-flush-log-at-trx-commit = 2
performance-schema = off
log-warnings = 1
character-set-server = latin1
ssl-ca = {folder}/server.crt
ssl-cert = {folder}/server.crt
ssl-key = {folder}/server.key
"""


def _quoted(text):
    return "'" + text.replace("\\", "\\\\").replace("'", "''") + "'"


def _text(word):
    """What the client prints of HEX()."""
    return None if word == "NULL" else bytes.fromhex(word).decode()


class MariaDB(Server):
    """The user `mediaproxy` may do everything in the database `calls`, `root` everything.

    The server's character set is latin1, as many an old one's.
    """

    user_name = "mysql"

    def __init__(self, size=None):
        """`size`: its files are on a file system of that size, e.g. "64m"."""
        super().__init__()
        self._mounted = size is not None
        if self._mounted:
            subprocess.run(
                ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.folder], check=True
            )
            self.user.own(self.folder)
        self.port = free_port()
        self.socket = self.folder / "socket"
        self.configuration = self.write(
            "my.cnf", CONFIGURATION.format(folder=self.folder, port=self.port)
        )
        self._make_certificate()
        self.run(
            [shutil.which("mariadb-install-db"), f"--defaults-file={self.configuration}"]
            + ["--auth-root-authentication-method=normal", "--skip-test-db"]
        )
        self.start()
        self.execute("CREATE DATABASE calls", database=None)
        self.execute(f"CREATE USER mediaproxy IDENTIFIED BY {_quoted(PASSWORD)}", database=None)
        self.allow_creation(True)

    def _make_certificate(self):
        self.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
            + ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
            + ["-keyout", self.folder / "server.key", "-out", self.certificate]
        )

    @property
    def certificate(self):
        """What signs for `localhost`; a client may trust it."""
        return self.folder / "server.crt"

    def settings(self, **changes):
        """Of the plugin mysql, by TCP."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": "mediaproxy",
            "password": PASSWORD,
            "database": "calls",
            **changes,
        }

    def start(self, *options):
        self.launch(
            [shutil.which("mariadbd"), f"--defaults-file={self.configuration}", *options]
        )

    def is_ready(self):
        ask = ["mariadb-admin", "--no-defaults", "-S", self.socket, "-u", "root", "ping"]
        return (
            subprocess.run(
                ask, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            ).returncode
            == 0
        )

    def close(self):
        super().close()
        if self._mounted:
            subprocess.run(["umount", self.folder], check=True)
            self.folder.rmdir()

    def stop(self):
        """Ends it as its operator would: connections are closed."""
        self.end(signal.SIGTERM)

    def crash(self):
        """A kill: it recovers at its next start."""
        self.end(signal.SIGKILL)

    def reset(self):
        """As it was when it was new; started if it was not."""
        if self.process.poll() is not None:
            self.start()
        self.execute("DROP DATABASE calls; CREATE DATABASE calls", database=None)
        self.set_read_only(False)
        self.set_password(PASSWORD)
        self.allow_creation(True)

    def _client(self, sql, database):
        return ["mariadb", "--no-defaults", "-S", self.socket, "-u", "root", "-N", "-B", "-r"] + (
            ["--default-character-set=utf8mb4", *(["-D", database] if database else []), "-e", sql]
        )

    def execute(self, sql, database="calls"):
        """Runs SQL as the one who may do everything; what it prints."""
        return self.run(self._client(sql, database))

    def number(self, sql):
        return int(self.execute(sql).split()[0])

    @staticmethod
    def names(*names):
        """A list of names that may be words of SQL's or have capitals."""
        return ", ".join(f"`{name}`" for name in names)

    def rows(self, columns="call_id, from_tag, to_tag, info", table="media_sessions"):
        """The rows in the order in which they were written; bytes as text."""
        plain = table.strip("`")
        schema, _, name = ("calls." + plain).rpartition(".")
        if not self.number(
            "SELECT count(*) FROM information_schema.tables WHERE table_name = "
            f"'{name}' AND table_schema = '{schema.rpartition('.')[2]}'"
        ):
            return []
        values = ", ".join(
            f"HEX(CONVERT({name.strip()} USING utf8mb4))" for name in columns.split(",")
        )
        lines = self.execute(f"SELECT {values} FROM {table} ORDER BY id").splitlines()
        return [tuple(_text(word) for word in line.split("\t")) for line in lines]

    def records(self, **choice):
        """The JSON of the rows."""
        return [json.loads(info) for (info,) in self.rows("info", **choice)]

    def make_mediaproxy_table(self):
        self.execute(MEDIAPROXY_TABLE)

    _OF_OURS = "FROM information_schema.processlist WHERE user = 'mediaproxy'"

    def connections(self):
        """How many the user mediaproxy has."""
        return self.number(f"SELECT count(*) {self._OF_OURS}")

    def disconnect(self):
        """Ends the connections of mediaproxy."""
        self.execute("KILL USER mediaproxy")

    def waiting(self):
        """Whether a statement of mediaproxy waits for a lock."""
        return self.number(f"SELECT count(*) {self._OF_OURS} AND state LIKE '%lock%'") > 0

    @contextlib.contextmanager
    def locked(self, table="media_sessions"):
        """Meanwhile no statement on the table gets anywhere."""
        command = self._client(f"LOCK TABLE {table} WRITE; DO SLEEP(120)", "calls")
        holder = subprocess.Popen(
            self.user.command([str(word) for word in command]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        query = "FROM information_schema.processlist WHERE info = 'DO SLEEP(120)'"
        try:
            until(
                lambda: self.number(f"SELECT count(*) {query}"), 10, "the table is not locked"
            )
            yield
        finally:
            self.execute("KILL " + self.execute(f"SELECT id {query}").strip())
            holder.wait(10)

    @contextlib.contextmanager
    def frozen(self):
        """Meanwhile the server does nothing at all; what connects waits."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    def slow_down(self, seconds):
        """Every insert takes so long."""
        self.execute(
            "CREATE TRIGGER slow BEFORE INSERT ON media_sessions FOR EACH ROW "
            f"SET @slow = SLEEP({seconds})"
        )

    def speed_up(self):
        self.execute("DROP TRIGGER slow")

    def refuse_calls(self, call_id, reason):
        """A trigger does, as an operator may have one."""
        self.execute(
            "DELIMITER //\nCREATE TRIGGER refuse BEFORE INSERT ON media_sessions FOR EACH ROW IF "
            f"NEW.call_id = '{call_id}' THEN SIGNAL SQLSTATE '77000' SET message_text = "
            f"'{reason}'; END IF//"
        )

    def require_to_tag(self):
        self.execute("ALTER TABLE media_sessions MODIFY to_tag VARCHAR(64) NOT NULL")

    def set_password(self, password):
        self.execute(f"ALTER USER mediaproxy IDENTIFIED BY {_quoted(password)}")

    def set_read_only(self, yes):
        """As a replica: mediaproxy reads only."""
        self.execute(f"SET GLOBAL read_only = {int(yes)}", database=None)

    def allow_creation(self, yes):
        """Whether mediaproxy may make tables."""
        rights = "ALL" if yes else "SELECT, INSERT"
        self.execute(
            "GRANT USAGE ON *.* TO mediaproxy; GRANT ALL ON calls.* TO mediaproxy; "
            f"REVOKE ALL ON calls.* FROM mediaproxy; GRANT {rights} ON calls.* TO mediaproxy"
        )

    def run_definition(self, sql):
        """A person runs what the log says."""
        self.execute(sql)
