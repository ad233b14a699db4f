# SPDX-License-Identifier: GPL-2.0-or-later
"""mediaproxyd --check-plugin passes every back end that comes with the daemon.

A back end that needs something to talk to has a row with a context manager that starts it and gives
the settings.
"""
import contextlib
import pathlib
import subprocess
import tempfile
import unittest

from lab import daemon, freeradius, mariadb, odbc, postgres


@contextlib.contextmanager
def nothing():
    """Its defaults will do."""
    yield {}


@contextlib.contextmanager
def a_file():
    with tempfile.TemporaryDirectory() as folder:
        yield {"path": f"{folder}/records"}


@contextlib.contextmanager
def a_mariadb():
    with contextlib.closing(mariadb.MariaDB()) as database:
        yield database.settings()


@contextlib.contextmanager
def a_postgres():
    database = postgres.Postgres()
    try:
        database.reset()
        yield database.settings()
    finally:
        database.close()


@contextlib.contextmanager
def a_freeradius():
    with contextlib.closing(freeradius.FreeRadius()) as server:
        server.start()
        line = f"acctserver 127.0.0.1:{server.port}:{server.secret}\nradius_timeout 2\n"
        yield {
            "config_file": server.write("client.conf", line),
            "additional_dictionary": freeradius.OUR_DICTIONARY,
        }


@contextlib.contextmanager
def a_file_by_odbc():
    with tempfile.TemporaryDirectory() as folder, odbc.configured(folder):
        yield {"driver": "SQLite3", "database": f"{folder}/records"}


@contextlib.contextmanager
def a_network():
    """An interface that is not loopback: the kernel forwards nothing between loopback addresses."""
    subprocess.run(["ip", "link", "add", "check0", "type", "veth", "peer", "name", "check1"], check=True)
    try:
        subprocess.run(["ip", "address", "add", "10.92.0.1/24", "dev", "check0"], check=True)
        for end in ("check0", "check1"):
            subprocess.run(["ip", "link", "set", end, "up"], check=True)
        yield {}
    finally:
        subprocess.run(["ip", "link", "del", "check0"], check=True)


# The plugin's file without .so; who gives its settings; the checks that cannot be made of it.
SUBJECTS = [
    ("accounting_jsonl", a_file, {"cancel makes calls return"}),
    ("accounting_mysql", a_mariadb, set()),
    ("accounting_odbc", a_file_by_odbc, set()),
    ("accounting_postgres", a_postgres, set()),
    ("accounting_radius", a_freeradius, set()),
    ("accounting_sqlite", a_file, set()),
    ("forwarding_userspace", nothing, {"flows are left to a successor"}),
    ("forwarding_conntrack", a_network,
     {"packets are forwarded and counted", "packets of strangers are handed back"}),
    ("forwarding_nftables", a_network,
     {"packets are forwarded and counted", "packets of strangers are handed back"}),
]


def check_plugin(name, settings):
    """The exit status and the lines of the report."""
    words = [f"{key}={value}" for key, value in settings.items()]
    done = subprocess.run(
        [daemon.EXECUTABLE, "--check-plugin", daemon.PLUGINS / f"{name}.so", *words],
        capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, done.stdout.splitlines()


class OurPlugins(unittest.TestCase):
    def test_each_of_ours_conforms(self):
        for name, given, left_out in SUBJECTS:
            with self.subTest(name), given() as settings:
                status, report = check_plugin(name, settings)
                text = "\n".join(report)
                self.assertEqual(status, 0, text)
                self.assertIn(f"{name}.so: conforms to plugin ABI 1.0: ", report[-1])
                faults = [line for line in report if line.startswith(("fault", "warning"))]
                self.assertEqual(faults, [], text)
                left = {line.split(None, 2)[2].split(":")[0]
                        for line in report if line.startswith("left out")}
                self.assertEqual(left, left_out, text)

    def test_none_of_ours_is_forgotten(self):
        there = {file.stem for file in pathlib.Path(daemon.PLUGINS).glob("*.so")}
        self.assertEqual(there, {name for name, _, _ in SUBJECTS})
