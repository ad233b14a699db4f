# SPDX-License-Identifier: GPL-2.0-or-later
"""A PostgreSQL of the tests' own, on a free port and a UNIX socket in a temporary folder."""
import contextlib
import json
import os
import pathlib
import signal
import subprocess

from .daemon import free_port, until
from .server import Server

# Debian keeps them beside each other, by version and out of the way; any will do.
PROGRAMS = max(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), default=pathlib.Path("/usr/bin"))
PASSWORD = "s3cret: 'quoted' & @"


class Postgres(Server):
    """The role `mediaproxy` owns the schema of the database `calls`; `root` may do everything."""

    user_name = "postgres"

    def __init__(self):
        super().__init__()
        self.port = free_port()
        self.data = self.folder / "data"
        self.run(
            [PROGRAMS / "initdb", "--no-sync", "--auth=scram-sha-256", "--auth-local=trust"]
            + ["--username=root", "--encoding=UTF8", "--locale=C", "--pgdata", self.data]
            + ["--pwfile", self.write("password", PASSWORD + "\n")]
        )
        self.make_certificate(self.certificate, self.folder / "server.key")
        self.start()
        self.execute("CREATE ROLE mediaproxy LOGIN", database="postgres")
        self.execute("CREATE DATABASE calls OWNER mediaproxy", database="postgres")

    def reset(self):
        """As at first: it runs, has no table, and mediaproxy may do what it needs."""
        if self.process.poll() is not None:
            self.start()
        self.disconnect()
        self.execute("ALTER ROLE mediaproxy SET default_transaction_read_only = off")
        self.set_password(PASSWORD)
        self.execute("DROP SCHEMA public CASCADE; CREATE SCHEMA public AUTHORIZATION mediaproxy")

    def make_certificate(self, certificate, key):
        """One for `localhost`, signed by itself."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            + ["-nodes", "-days", "2", "-subj", "/CN=localhost"]
            + ["-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
            check=True,
            stderr=subprocess.DEVNULL,
        )
        for path in (certificate, key):
            self.user.own(path)

    def settings(self, **changes):
        """Of the plugin postgres, by TCP."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": "mediaproxy",
            "password": PASSWORD,
            "database": "calls",
            **changes,
        }

    @property
    def certificate(self):
        """What signs for `localhost`; a client may trust it."""
        return self.folder / "server.crt"

    def start(self):
        """Durable over the end of its process, which is all that the tests do to it."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.folder,
            "fsync": "off",
            "ssl": "on",
            "ssl_cert_file": self.certificate,
            "ssl_key_file": self.folder / "server.key",
            "shared_buffers": "16MB",
            "max_wal_senders": 0,
        }
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        self.launch([PROGRAMS / "postgres", "-D", self.data, *words])

    def is_ready(self):
        ask = [PROGRAMS / "pg_isready", "-q", "-h", self.folder, "-p", str(self.port)]
        return subprocess.run(ask, check=False).returncode == 0

    def stop(self):
        """Ends it at once, as its operator would: connections are closed."""
        self.end(signal.SIGINT)

    def crash(self):
        """As a kill of its main process: it recovers at its next start."""
        self.end(signal.SIGQUIT)

    def signal(self, number):
        """To all of its processes; each has a group of its own."""
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        with open(children, encoding="ascii") as pids:
            for pid in (self.process.pid, *(int(word) for word in pids.read().split())):
                with contextlib.suppress(ProcessLookupError):  # a session that has just ended
                    os.kill(pid, number)

    def _psql(self, sql, database):
        return [PROGRAMS / "psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"] + (
            ["-h", self.folder, "-p", str(self.port), "-U", "root", "-d", database, "-c", sql]
        )

    def execute(self, sql, database="calls"):
        """Runs SQL as the one who may do everything; what it prints."""
        return self.run(self._psql(sql, database))

    def rows(self, columns="call_id, from_tag, to_tag, info", table="media_sessions"):
        """The rows in the order in which they were written; bytes as text."""
        names = [name.strip() for name in columns.split(",")]
        values = ", ".join(
            f"convert_from({name}, 'UTF8')" if name == "info" else name for name in names
        )
        if self.execute(f"SELECT to_regclass('{table}') IS NULL").strip() == "t":
            return []
        lines = self.execute(f"SELECT json_build_array({values}) FROM {table} ORDER BY id")
        return [tuple(json.loads(line)) for line in lines.splitlines()]

    @staticmethod
    def names(*names):
        """The column list or table of these names, whatever letters they have."""
        return ", ".join(f'"{name}"' for name in names)

    def make_mediaproxy_table(self):
        """The table as MediaProxy makes it."""
        self.execute(
            "CREATE TABLE media_sessions (id SERIAL PRIMARY KEY, call_id VARCHAR(255) NOT NULL, "
            "from_tag VARCHAR(64) NOT NULL, to_tag VARCHAR(64), info BYTEA, "
            "CONSTRAINT media_sessions_callid_idx UNIQUE (call_id, from_tag, to_tag)); "
            "ALTER TABLE media_sessions OWNER TO mediaproxy"
        )

    def disconnect(self):
        """Ends the connections of mediaproxy."""
        self.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'mediaproxy'"
        )

    def waiting(self):
        """Whether a statement of mediaproxy waits for a lock."""
        return "t" == self.execute(
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE usename = 'mediaproxy' "
            "AND wait_event_type = 'Lock'"
        ).strip()

    @contextlib.contextmanager
    def locked(self, table="media_sessions"):
        """Meanwhile no statement on the table gets anywhere."""
        sql = f"BEGIN; LOCK TABLE {table}; SELECT pg_sleep(120)"
        holder = subprocess.Popen(
            self.user.command([str(word) for word in self._psql(sql, "calls")]),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            held = (
                "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted "
                f"AND relation = '{table}'::regclass"
            )
            until(lambda: self.execute(held).strip() == "1", 10, "the table is not locked")
            yield
        finally:
            self.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                         "WHERE query LIKE '%pg_sleep(120)%' AND pid <> pg_backend_pid()")
            holder.wait(10)

    def refuse_calls(self, call_id, reason):
        """A trigger does, as an operator may have one."""
        self.execute(
            "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
            f"RAISE EXCEPTION '{reason}'; END $$; "
            "CREATE TRIGGER refuse BEFORE INSERT ON media_sessions FOR EACH ROW "
            f"WHEN (NEW.call_id = '{call_id}') EXECUTE FUNCTION refuse()"
        )

    def require_to_tag(self):
        self.execute("ALTER TABLE media_sessions ALTER to_tag SET NOT NULL")

    def set_password(self, password):
        self.execute("ALTER ROLE mediaproxy PASSWORD '" + password.replace("'", "''") + "'")

    def set_read_only(self, yes):
        """As on a standby: mediaproxy reads only. Ends its connections."""
        self.execute(
            f"ALTER ROLE mediaproxy SET default_transaction_read_only = {'on' if yes else 'off'}"
        )
        self.disconnect()

    def allow_creation(self, yes):
        """Whether mediaproxy may make tables."""
        owner = "mediaproxy" if yes else "root"
        self.execute(f"ALTER SCHEMA public OWNER TO {owner}")
        self.execute("GRANT USAGE ON SCHEMA public TO PUBLIC")

    def run_definition(self, sql):
        """A person runs what the log says, and lets mediaproxy use the table."""
        self.execute(
            sql + "; GRANT ALL ON media_sessions TO mediaproxy; "
            "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO mediaproxy"
        )
